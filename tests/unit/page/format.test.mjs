// Times as people read them.
import assert from "node:assert/strict";
import test from "node:test";

import { ago, duration } from "../../../protocols/api/page/src/format.js";
import { setLanguage } from "../../../protocols/api/page/src/i18n.js";

test("durations are whole, in both languages", () => {
  const said = () => [0, 59, 60, 3599, 3600, 3605, 5400, 86399, 86400, 200000].map(duration);
  setLanguage("en");
  assert.deepEqual(said(), ["0 s", "59 s", "1 min", "59 min", "1 h", "1 h", "1 h 30 min",
    "23 h 59 min", "1 d", "2 d"]);
  assert.equal(ago(1e9, 1e6 + 7.2e6 + 3e3), "2 h ago");
  setLanguage("zh");
  assert.deepEqual(said(), ["0 秒", "59 秒", "1 分钟", "59 分钟", "1 小时", "1 小时",
    "1 小时 30 分钟", "23 小时 59 分钟", "1 天", "2 天"]);
  setLanguage("en");
});
