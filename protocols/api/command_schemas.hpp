// JSON Schemas that several tables of routes write: string literals, to be put between others.
#pragma once

#define RG_COMMAND_BODY                                                                         \
  R"("message":{"type":"string","description":"A name or an id: text-message, 0x8300."},)"      \
  R"("fields":{"type":"object","description":"As /messages/{id} has them under forms."},)"      \
  R"("body_hex":{"type":"string","description":"The body's bytes, in place of fields."},)"      \
  R"("answer":{"type":"string","description":"What the device will say: none, general, or )"    \
  R"(the id of a message."},"answer_has_serial":{"type":"boolean"},)"                           \
  R"("when_online":{"type":"boolean","description":"Kept until the device is online."},)"       \
  R"("expires":{"type":["string","number"],"description":"With when_online: 24h, or seconds."})"

// What an outcome has, besides the device.
#define RG_OUTCOME_PROPERTIES                                                                   \
  R"("status":{"enum":["answered","refused","sent","timed-out","offline","unknown","link-lost",)" \
  R"("busy","not-stored","unsupported","expired","pending","stopping"]},)"                      \
  R"("detail":{"type":"string"},"id":{"type":"integer"},)"                                      \
  R"("expires":{"type":"string","format":"date-time"},"transmissions":{"type":"integer"},)"     \
  R"("elapsed_ms":{"type":"number"},"answer":{"type":"object","required":["message_id"],)"      \
  R"("properties":{"message_id":{"type":"string"},"frame":{"type":"string"},)"                  \
  R"("body":{"type":"object","description":"As /messages/decode has it."}},)"                   \
  R"("additionalProperties":false})"

#define RG_ENTRY_PROPERTIES                                                                     \
  R"("id":{"type":"string","pattern":"^[0-9a-f]{32}$"},"message":{"type":"string"},)"           \
  R"("by":{"type":"string"},"submitted":{"type":"string","format":"date-time"},)"               \
  R"("ended":{"type":"string","format":"date-time"})"

// waiting: it is kept until its device comes online. gone: it is kept no longer, and its end is in
// the log.
#define RG_COMMAND_SCHEMA                                                                       \
  R"({"type":"object","required":["id","state","message","by","submitted","phone"],)"           \
  R"("properties":{"state":{"enum":["running","waiting","gone","done"]},)" RG_ENTRY_PROPERTIES  \
  R"(,"phone":{"type":"string"},"outcome":{"type":"object","required":["status"],)"             \
  R"("properties":{)" RG_OUTCOME_PROPERTIES R"(},"additionalProperties":false},)"               \
  R"("kept":{"type":"object"}},"additionalProperties":false})"

#define RG_MANY_SCHEMA                                                                          \
  R"({"type":"object","required":["id","state","message","by","submitted","total","done",)"     \
  R"("under_way","cancelled","by_status"],"properties":{)"                                      \
  R"("state":{"enum":["gathering","running","cancelling","done"]},)" RG_ENTRY_PROPERTIES        \
  R"(,"total":{"type":"integer"},"done":{"type":"integer"},"under_way":{"type":"integer"},)"    \
  R"("cancelled":{"type":"boolean"},"by_status":{"type":"object",)"                             \
  R"("additionalProperties":{"type":"integer"}},"error":{"type":"string"},)"                    \
  R"("outcomes":{"type":"array","items":{"type":"object","required":["phone","status"],)"       \
  R"("properties":{"phone":{"type":"string"},"cut":{"type":"boolean"},)" RG_OUTCOME_PROPERTIES  \
  R"(},"additionalProperties":false}},"next":{"type":"string"}},"additionalProperties":false})"
