import { collection } from "./start";
import { mount } from "svelte";
import { announceLanguage } from "../i18n";
import App from "./App.svelte";

announceLanguage();
const target = document.getElementById("app") ?? document.body;
await collection.opening; // until then the page shows what the server wrote: title, number, size
target.replaceChildren();
mount(App, { target });
