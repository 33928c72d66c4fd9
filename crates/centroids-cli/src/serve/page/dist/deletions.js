import { deleteClass, deleteMember } from "./api.js";
import { announce } from "./dom.js";
import { tell, tellError } from "./toast.js";
const waiting = new Map();
let changed = () => { };
export function onDeletionsSettled(listener) {
    changed = listener;
}
export function isDoomed(what) {
    return [...waiting.keys()].some((doomed) => {
        if ("member" in what)
            return "members" in doomed && doomed.members.includes(what.member);
        return "className" in doomed && doomed.className === what.className;
    });
}
export function deleteLater(doomed, message) {
    const carryOut = () => void finish(doomed, false).then(changed);
    const undo = () => {
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
export async function settleDeletions() {
    await Promise.all([...waiting.keys()].map((doomed) => finish(doomed, false)));
}
async function finish(doomed, leaving) {
    waiting.get(doomed)?.close();
    if (!waiting.delete(doomed))
        return;
    try {
        if ("className" in doomed)
            await deleteClass(doomed.className, leaving);
        else
            await Promise.all(doomed.members.map((id) => deleteMember(id, leaving)));
    }
    catch (error) {
        tellError(error);
    }
}
addEventListener("pagehide", () => {
    for (const doomed of [...waiting.keys()])
        void finish(doomed, true);
});
