// A device's frames both ways, as its link sends and gets them.
import { link } from "./api.js";
import { fill, h, say } from "./dom.js";
import { clock } from "./format.js";
import { nameText, t } from "./i18n.js";
import { post } from "./api.js";
import { explained } from "./explain.js";
import { listen } from "./stream.js";
import { showValue } from "./value.js";

const KEPT = 200;

export function tracePanel(view) {
  const list = h("ul", { class: "trace", id: "trace" });
  const state = h("span", { class: "state connecting", role: "status" }, t("Connecting"));
  let paused = false;
  let dropped = 0;
  const lost = h("span", { class: "muted" });
  const pause = h("button", { type: "button", class: "button plain", onclick: () => {
    paused = !paused;
    say(pause, paused ? t("Go on") : t("Pause"));
  } }, t("Pause"));
  const empty = h("p", { class: "note" }, t("Frames show up here as they come and go."));
  const take = (message) => {
    if (message.dropped) {
      dropped += message.dropped;
      say(lost, t("{n} left out", { n: dropped }));
    }
    if (!message.frame || paused) return;
    empty.hidden = true;
    list.prepend(row(message.frame));
    while (list.childElementCount > KEPT) list.lastChild.remove();
  };
  const end = listen(link(`/devices/${encodeURIComponent(view.id)}/trace`), take, (now) => {
    state.className = `state ${now}`;
    say(state, t({ live: "Live", connecting: "Connecting", away: "No connection" }[now]));
  });
  return { element: h("div", { class: "stack" }, h("div", { class: "panel" },
    h("div", { class: "row" }, state, pause, lost), empty, list)), end };
}

function row(frame) {
  const up = frame.direction === "up";
  const inside = h("div", { class: "trace-inside" });
  const details = h("details", { ontoggle: () => {
    if (!details.open || inside.childElementCount) return;
    const bytes = h("div", { class: "scroll" });
    fill(inside, showValue(frame.body?.body ?? frame.body ?? {}),
      h("p", { class: "mono hex" }, frame.frame ?? ""),
      h("button", { type: "button", class: "quiet", onclick: async () => {
        try {
          fill(bytes, explained(await post("/messages/explain", { frame: frame.frame })));
        } catch (error) {
          fill(bytes, h("p", { class: "problem" }, error.message));
        }
      } }, t("Byte by byte")), bytes);
  } }, h("summary", {}, h("span", { class: `way ${up ? "up" : "down"}` }, up ? "↑" : "↓"),
    h("span", { class: "mono muted" }, frame.message_id ?? ""),
    h("b", {}, nameText(frame.body?.message ?? frame.message ?? "")),
    h("span", { class: "muted when" }, clock(frame.time))), inside);
  return h("li", {}, details);
}
