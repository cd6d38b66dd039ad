import { asProblem, type Problem } from "../api";
import { byField, explain } from "./problem";

/** The state of an action that a person started: running, done with a message, or refused. */
export class Saving {
  isBusy = $state(false);
  told = $state("");
  refused = $state.raw<Problem>();

  /** The refusal in words; empty without one. */
  get refusal(): string {
    return this.refused ? explain(this.refused) : "";
  }

  /** The words of each refused field. */
  get fields(): Record<string, string> {
    return this.refused ? byField(this.refused) : {};
  }

  /** Forgets what became of the last action. */
  clear(): void {
    this.told = "";
    this.refused = undefined;
  }

  /** Runs the action, one at a time. done: what to say afterwards. Returns whether it succeeded. */
  async run(action: () => Promise<unknown>, done = ""): Promise<boolean> {
    if (this.isBusy) return false;
    this.isBusy = true;
    this.clear();
    try {
      await action();
      this.told = done;
      return true;
    } catch (failure) {
      this.refused = asProblem(failure);
      return false;
    } finally {
      this.isBusy = false;
    }
  }
}
