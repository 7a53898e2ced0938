// The live stream (protocols/api/STREAM.md): one socket for the page, subscriptions by name, that
// comes back by itself. What is subscribed is subscribed again, from where it was.

// How long before another try: 0.5 s at first, then twice as long each time, 15 s at most, and a
// little by chance so that a hundred pages do not come at once.
export function delayOf(attempt, random = Math.random) {
  return Math.min(15_000, 500 * 2 ** Math.min(attempt, 8)) * (0.8 + 0.4 * random());
}

export class Stream {
  // `told(state)`: "live", "connecting" or "away".
  constructor(told, { open = (url) => new WebSocket(url),
    later = (work, ms) => setTimeout(work, ms) } = {}) {
    this.told = told;
    this.open = open;
    this.later = later;
    this.subscriptions = new Map();  // id -> {want, events, cursor, gap}
    this.socket = null;
    this.attempt = 0;
    this.state = "connecting";
    this.stopped = true;
    this.timer = 0;
  }

  start() {
    if (!this.stopped) return;
    this.stopped = false;
    this.connect();
  }
  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    this.socket?.close();
  }
  // Tries at once where it waits.
  hurry() {
    if (this.stopped || this.socket !== null) return;
    clearTimeout(this.timer);
    this.connect();
  }

  // `want`: a subscription's members without its id. A subscription of that id is replaced.
  // `lasting`: nothing is to be missed, so it goes on from its cursor after a break.
  subscribe(id, want, events, { lasting = false, failed = null } = {}) {
    this.subscriptions.set(id, { want, events, lasting, failed, cursor: null });
    this.tell({ subscribe: { id, ...want } });
  }
  unsubscribe(id) {
    if (this.subscriptions.delete(id)) this.tell({ unsubscribe: id });
  }

  tell(message) {
    if (this.socket?.readyState === 1) this.socket.send(JSON.stringify(message));
  }

  set(state) {
    if (state === this.state) return;
    this.state = state;
    this.told(state);
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = this.open(`${scheme}//${location.host}/api/v1/stream`);
    this.socket = socket;
    socket.onopen = () => {
      this.attempt = 0;
      this.set("live");
      for (const [id, one] of this.subscriptions) {
        const from = one.lasting && one.cursor ? { from: one.cursor } : {};
        this.tell({ subscribe: { id, ...one.want, ...from } });
      }
    };
    socket.onmessage = (message) => this.take(JSON.parse(message.data));
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.set("away");
      if (this.stopped) return;
      this.timer = this.later(() => this.connect(), delayOf(this.attempt++));
    };
    socket.onerror = () => {};  // close follows
  }

  take(message) {
    if (message.error) {
      const one = this.subscriptions.get(message.error.id);
      one?.failed?.(message.error.detail);
      return;
    }
    const one = this.subscriptions.get(message.id ?? message.subscribed?.id);
    if (one === undefined) return;
    const cursor = message.cursor ?? message.subscribed?.cursor;
    if (cursor) one.cursor = cursor;
    if (message.events) one.events(message.events);
  }
}

// Server-sent events of one path, for a device's trace. Returns what ends it.
export function listen(path, take, told) {
  const source = new EventSource(path);
  source.onopen = () => told("live");
  source.onerror = () => told(source.readyState === 2 ? "away" : "connecting");
  source.onmessage = (message) => take(JSON.parse(message.data));
  return () => source.close();
}
