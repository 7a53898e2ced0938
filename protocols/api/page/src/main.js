// The page's start: who we are, what is configured, which view the address names.
import "./app.css";
import { login, logout, pageConfig, repeat, whenUnauthorized, whoami } from "./api.js";
import { fill, h, icon, say } from "./dom.js";
import { fleetView } from "./fleet.js";
import { languageNow, t } from "./i18n.js";
import { chooseLanguage, startPreferences, switchTheme, themeNow } from "./prefs.js";
import { Stream } from "./stream.js";
import { Telemetry } from "./telemetry.js";

const VIEWS = {
  map: async (page) => fleetView(page),
  device: async (page, rest) => (await import("./device.js")).deviceView(page, rest),
  gateway: async (page) => (await import("./gateway.js")).gatewayView(page),
  alarms: async (page) => (await import("./alarms.js")).alarmsView(page),
};
const RELOAD_EVERY_MS = 1000;
const TABS = [["map", "Map", "map"], ["alarms", "Alarms", "bell"], ["gateway", "Gateway", "gauge"]];

// What views share.
class Page {
  constructor(app) {
    this.app = app;
    this.config = {};
    this.who = null;
    this.view = null;
    this.turn = 0;
    this.worldPath = document.body.dataset.world;
    this.stream = new Stream((state) => this.showState(state));
    this.handle = globalThis.ringgatePage = { marks: {} };  // for tests and measurements
    this.mapPlace = null;
    this.telemetry = new Telemetry();
  }

  async start() {
    whenUnauthorized(() => this.showLogin());
    addEventListener("hashchange", () => this.show());
    addEventListener("online", () => this.stream.hurry());
    document.addEventListener("visibilitychange", () => this.stream.hurry());
    const config = pageConfig();
    // With a gateway of this machine nobody has to wait for who one is.
    const who = whoami();
    try {
      this.config = await config;
      this.who = await who;
      if (this.who === null || this.who.credentials_needed) return this.showLogin();
    } catch (error) {
      if (error.status !== 404) this.warnLater = error;
    }
    this.enter();
  }
  enter() {
    this.frame();
    this.show();
    this.stream.start();
    // Behind what a person waits for.
    setTimeout(() => this.telemetry.start(() => {}), 1500);
  }

  // The frame around the views -----------------------------------------------------------------

  frame() {
    this.links = Object.fromEntries(TABS.map(([name, label, picture]) => [name,
      h("a", { href: `#/${name}`, class: "tab" }, icon(picture), h("span", {}, t(label)))]));
    this.state = h("span", { class: "state", id: "state", role: "status" });
    const zh = languageNow() === "zh";
    this.themeButton = h("button", { type: "button", class: "tool", id: "theme",
      onclick: () => {
        switchTheme();
        this.showTheme();
      } });
    this.place = h("div", { class: "place" });
    this.notice = h("div", { class: "notice", role: "alert", hidden: true });
    fill(this.app, h("header", { class: "top" },
      h("a", { href: "#/map", class: "brand" }, h("span", { class: "ring" }), "ringgate"),
      h("nav", { "aria-label": t("Views") }, Object.values(this.links)),
      h("div", { class: "tools" }, this.state,
        h("button", { type: "button", class: "tool", id: "language", lang: zh ? "en" : "zh",
          onclick: () => this.language(zh ? "en" : "zh") }, zh ? "EN" : "中文"),
        this.themeButton, this.logoutButton())),
    this.notice, this.place);
    this.showTheme();
    this.showState(this.stream.state);
  }
  logoutButton() {
    if (this.who?.how !== "cookie") return null;
    return h("button", { type: "button", class: "tool", title: t("Log out"),
      "aria-label": t("Log out"), onclick: async () => {
        await logout().catch(() => {});
        this.showLogin();
      } }, icon("out"));
  }
  showTheme() {
    const dark = themeNow() === "dark";
    const label = dark ? t("Light") : t("Dark");
    this.themeButton.title = label;
    this.themeButton.setAttribute("aria-label", label);
    fill(this.themeButton, icon(dark ? "sun" : "moon"));
  }
  language(language) {
    chooseLanguage(language);
    this.leave();
    this.frame();
    this.show();
  }
  showState(state) {
    if (this.state === undefined) return;
    this.state.className = `state ${state}`;
    say(this.state, t({ live: "Live", connecting: "Connecting", away: "No connection" }[state]));
  }

  // Errors of what asks again and again: said once, taken back by the next that works.
  warn(error) {
    if (this.notice === undefined) return;
    this.notice.hidden = false;
    this.unreached ||= error.status === 0;
    say(this.notice, error.status === 0 ? t("The gateway can't be reached; trying again.")
      : t("The gateway says: {what}", { what: error.message }));
  }
  reached() {
    if (this.notice !== undefined) this.notice.hidden = true;
    if (this.unreached) this.stream.hurry();
    this.unreached = false;
  }
  mark(name) {
    this.handle.marks[name] ??= performance.now();
  }

  // Why who is logged in may not do what needs this scope, in words; "" where they may. Where the
  // gateway did not say who it is, it will say what they may not.
  lacks(scope) {
    if (this.who?.scopes?.includes(scope) ?? true) return "";
    return t("Not with this token: it lacks the scope “{scope}”.", { scope });
  }

  // Views --------------------------------------------------------------------------------------

  leave() {
    this.view?.end?.();
    this.view = null;
  }
  async show() {
    if (this.place === undefined) return;
    const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decode);
    const known = Object.hasOwn(VIEWS, name) ? name : "map";
    if (this.view !== null && this.view.name === known && this.view.go?.(rest)) return;
    const turn = ++this.turn;
    this.stopWaiting?.();
    let made;
    try {
      made = await VIEWS[known](this, rest);
    } catch (error) {
      if (error instanceof TypeError && /import|module/i.test(error.message)) {
        return turn === this.turn ? this.reloadWhenReached() : undefined;
      }
      throw error;
    }
    if (turn !== this.turn) return made.end?.();
    this.leave();
    this.view = made;
    this.view.name = known;
    for (const [tab, link] of Object.entries(this.links)) {
      if (tab === known) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    document.title = `${made.title} – ringgate`;
    fill(this.place, made.element);
    made.start?.();  // what measures itself is in the page now
  }

  // A part of the page did not come: the gateway was upgraded and has it under another name, or
  // can't be reached. Loading the page anew helps once there is one to load; until then the view
  // that is open stays.
  reloadWhenReached() {
    this.stopWaiting = repeat(RELOAD_EVERY_MS, async () => {
      await whoami();
      location.reload();
    }, (error) => {
      this.handle.waits = true;
      this.warn(error);
    });
  }

  showLogin() {
    this.leave();
    this.stopWaiting?.();
    this.stream.stop();
    this.telemetry.stop();
    this.place = undefined;
    const field = h("input", { type: "password", id: "token", autocomplete: "current-password",
      required: true, spellcheck: "false" });
    const said = h("p", { class: "problem", role: "alert", hidden: true });
    const button = h("button", { type: "submit", class: "button" }, t("Log in"));
    fill(this.app, h("main", { class: "login" }, h("form", {
      onsubmit: async (event) => {
        event.preventDefault();
        button.disabled = true;
        try {
          this.who = await login(field.value.trim());
          this.config = await pageConfig();
          this.enter();
        } catch (error) {
          said.hidden = false;
          say(said, error.status === 401 ? t("This token is not valid.") : error.message);
          button.disabled = false;
          field.select();
        }
      } }, h("h1", {}, h("span", { class: "ring" }), "ringgate"),
    h("label", { for: "token" }, t("Token")), field, said, button,
    h("p", { class: "note" }, t("A token is made on the gateway's machine:")),
    h("code", { class: "command" },
      "ringgate-ctl token create --name NAME --scope read,command"))));
    field.focus();
  }
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

startPreferences();
new Page(document.getElementById("app")).start();
