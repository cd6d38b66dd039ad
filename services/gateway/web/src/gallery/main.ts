import "./start";
import { mount } from "svelte";
import { announceLanguage } from "../i18n";
import App from "./App.svelte";

announceLanguage();
const target = document.getElementById("app") ?? document.body;
target.replaceChildren(); // what is there is for browsers without scripts
mount(App, { target });
