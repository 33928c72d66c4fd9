// Deletions wait ten seconds, so that they can be undone.
//
// Until then nothing has happened on the server: if the machine stops, everything is still there.
// Searching, changing the gallery and leaving the page carry out what waits, so that nobody works
// with a gallery that is no more.

import { deleteClass, deleteMember } from "./api.js";
import { announce } from "./dom.js";
import { tell, tellError, type Toast } from "./toast.js";

/** What is to be deleted: members by number, or a class by name. */
export type Doomed = { members: number[] } | { className: string };

const waiting = new Map<Doomed, Toast>();
let changed: () => void = () => {};

/** Sets who is told when a deletion was carried out or undone. */
export function onDeletionsSettled(listener: () => void): void {
  changed = listener;
}

export function isDoomed(what: { member: number } | { className: string }): boolean {
  return [...waiting.keys()].some((doomed) => {
    if ("member" in what) return "members" in doomed && doomed.members.includes(what.member);
    return "className" in doomed && doomed.className === what.className;
  });
}

export function deleteLater(doomed: Doomed, message: string): void {
  const carryOut = (): void => void finish(doomed, false).then(changed);
  const undo = (): void => {
    waiting.delete(doomed);
    announce("Undone.");
    changed();
  };
  const choices = [
    { label: "Undo", act: undo },
    { label: "Delete now", act: carryOut },
  ];
  waiting.set(doomed, tell(message, { choices, seconds: 10, ended: carryOut }));
}

/** Carries out all that waits. */
export async function settleDeletions(): Promise<void> {
  await Promise.all([...waiting.keys()].map((doomed) => finish(doomed, false)));
}

async function finish(doomed: Doomed, leaving: boolean): Promise<void> {
  waiting.get(doomed)?.close();
  if (!waiting.delete(doomed)) return;
  try {
    if ("className" in doomed) await deleteClass(doomed.className, leaving);
    else await Promise.all(doomed.members.map((id) => deleteMember(id, leaving)));
  } catch (error) {
    tellError(error);
  }
}

addEventListener("pagehide", () => {
  for (const doomed of [...waiting.keys()]) void finish(doomed, true);
});
