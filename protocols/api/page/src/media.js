// What a device has sent in files: photographs, sound, films.
import { get, link } from "./api.js";
import { fill, h } from "./dom.js";
import { deviceLink } from "./fleet.js";
import { bytes, clock } from "./format.js";
import { t } from "./i18n.js";

export function mediaPanel(view) {
  const place = h("div", { class: "media", id: "media" });
  const note = h("p", { class: "note" }, t("Looking…"));
  let ended = false;
  const show = async () => {
    try {
      const found = await get("/media", { device: view.id, limit: 100 });
      if (ended) return;
      const list = found.media ?? [];
      fill(note, list.length ? t("files: {n}", { n: list.length }) : [
        t("No files yet. Ask for a photograph:"), " ",
        h("a", { href: deviceLink(view.id, "command") }, t("Command"))]);
      fill(place, list.map(card));
    } catch (error) {
      if (!ended) fill(note, error.message);
    }
  };
  show();
  view.page.stream.subscribe("media", { devices: [view.id], types: ["media"] }, show);
  return { element: h("div", { class: "panel stack" }, note, place), end() {
    ended = true;
    view.page.stream.unsubscribe("media");
  } };
}

function card(one) {
  const { id } = one;
  const kind = one.content_type ?? one.media_type ?? "";
  const path = link(`/media/${encodeURIComponent(id)}/content`);
  let shown = h("div", { class: "media-none" }, kind || t("File"));
  if (kind.startsWith("image/")) {
    shown = h("img", { src: path, alt: one.name ?? id, loading: "lazy" });
  } else if (kind.startsWith("audio/")) {
    shown = h("audio", { src: path, controls: true, preload: "none" });
  } else if (kind.startsWith("video/")) {
    shown = h("video", { src: path, controls: true, preload: "none" });
  }
  return h("figure", { class: "medium" }, shown, h("figcaption", {},
    h("span", {}, clock(one.time ?? one.received)), h("span", { class: "muted" },
      bytes(one.size_bytes)), h("a", { href: path, download: one.name ?? id }, t("Save"))));
}
