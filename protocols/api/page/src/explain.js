// What a frame says, byte by byte.
import { post } from "./api.js";
import { fill, h, say } from "./dom.js";
import { t } from "./i18n.js";
import { nameText } from "./i18n.js";

const SAMPLE = "7e800100050138001380000007007d02020000557e";

export function explainPanel(view, hex = "") {
  const field = h("textarea", { id: "explain-frame", class: "mono", rows: 4, spellcheck: "false",
    "aria-label": t("Frame in hex"), value: hex, placeholder: SAMPLE });
  const place = h("div", { class: "scroll", id: "explained" });
  const said = h("p", { class: "problem", role: "alert", hidden: true });
  const run = async () => {
    const frame = (field.value || SAMPLE).replace(/0x|[\s:,-]/gi, "");
    field.value ||= SAMPLE;
    said.hidden = true;
    try {
      fill(place, explained(await post("/messages/explain", { frame })));
    } catch (error) {
      fill(place);
      said.hidden = false;
      say(said, error.message);
    }
  };
  const element = h("div", { class: "stack" }, h("form", { class: "panel stack",
    onsubmit: (event) => {
      event.preventDefault();
      run();
    } },
  h("h3", {}, t("A frame in hex, as it went over the wire or as the log has it")), field,
  said, h("div", { class: "row" }, h("button", { type: "submit", class: "button" }, t("Explain")))),
  h("div", { class: "panel unless-empty" }, place));
  if (hex) run();
  return { element, end() {} };
}

// The lines of an explanation as a table.
export function explained(found) {
  const lines = found.lines ?? [];
  const frame = found.frame ?? "";
  return h("table", { class: "explained" }, h("thead", {}, h("tr", {},
    [t("Offset"), t("Bytes"), t("Field"), t("Value")].map((text) => h("th", {}, text)))),
  h("tbody", {}, lines.map((line) => {
    const bytes = line.bytes ?? frame.slice(line.offset * 2, (line.offset + (line.size ?? 0)) * 2);
    const title = line.kind === "title";
    return h("tr", { class: line.kind ?? "" },
      h("td", { class: "mono muted" }, title || !line.size ? ""
        : Number(line.offset).toString(16).padStart(4, "0")),
      h("td", { class: "mono" }, bytes.length > 32 ? `${bytes.slice(0, 32)}…` : bytes),
      h("td", {}, h("span", { class: `depth depth-${Math.min(line.depth ?? 0, 5)}` },
        nameText(line.name ?? ""))),
      h("td", {}, [line.value, line.unit].filter(Boolean).join(" "), " ",
        h("small", { class: "muted" }, [line.note, line.source].filter(Boolean).join("; "))));
  })));
}
