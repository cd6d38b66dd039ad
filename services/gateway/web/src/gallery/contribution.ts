import type { Component } from "svelte";
import type { Gallery, Item } from "../api";

export interface ContributeProps {
  gallery: Gallery;
  code: string;
  password?: string;
  items: Item[];
  oncontributor: (key: string, id: string) => void;
  [other: string]: unknown;
}

type Module = { default: Component<ContributeProps> };

const found = import.meta.glob<Module>("../contribute/Contribute.svelte");

/** Loads the panel where visitors add photographs; undefined if the page is built without it. */
export const loadContribute: (() => Promise<Module>) | undefined = Object.values(found)[0];
