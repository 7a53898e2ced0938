"""A client of the HTTP interface that holds every answer against what /api/v1/openapi.json says of
it, and the rules that the document itself must keep (OpenAPI 3.1)."""

import http.client
import json
import re
import urllib.parse
from collections import namedtuple

import harness
import jsonschema
import jt808

Answer = namedtuple("Answer", "status headers body")

OPERATIONS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
PROBLEM = "application/problem+json"


def check_schema(schema, where):
    try:
        jsonschema.Draft202012Validator.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise AssertionError(f"{where}: {error.message}") from None


def check_document(document):
    """What OpenAPI 3.1.0 demands of a document, as far as this one may use it."""
    def demand(condition, what):
        if not condition:
            raise AssertionError(f"openapi.json: {what}")

    def only(where, value, needed, allowed=()):
        demand(isinstance(value, dict), f"{where} is no object")
        demand(needed <= value.keys(), f"{where} lacks {needed - value.keys()}")
        extra = {key for key in value.keys() - needed - set(allowed) if not key.startswith("x-")}
        demand(not extra, f"{where} has {extra}")

    def contents(where, content):
        demand(isinstance(content, dict) and content, f"{where}: no content")
        for kind, media in content.items():
            demand(re.fullmatch(r"[\w.+-]+/[\w.+*-]+", kind), f"{where}: {kind} is no type")
            only(f"{where} {kind}", media, set(), {"schema", "example", "examples", "encoding"})
            if "schema" in media:
                check_schema(media["schema"], f"{where} {kind}")

    only("the document", document, {"openapi", "info", "paths"},
         {"jsonSchemaDialect", "servers", "webhooks", "components", "security", "tags"})
    demand(re.fullmatch(r"3\.1\.\d+", document["openapi"]), "its version is not 3.1")
    only("info", document["info"], {"title", "version"},
         {"summary", "description", "contact", "license", "termsOfService"})
    named, ids = set(), set()
    for path, item in document["paths"].items():
        demand(path.startswith("/"), f"{path} does not begin with /")
        same = re.sub(r"{\w+}", "{}", path)
        demand(same not in named, f"{path} is there twice under other names")
        named.add(same)
        only(path, item, set(), {*OPERATIONS, "parameters", "summary", "description", "servers"})
        for method in OPERATIONS:
            if method not in item:
                continue
            operation, where = item[method], f"{method} {path}"
            only(where, operation, {"responses"},
                 {"summary", "description", "parameters", "requestBody", "tags", "operationId",
                  "security", "deprecated", "externalDocs"})
            demand(operation.get("operationId", where) not in ids, f"{where}: its operationId")
            ids.add(operation.get("operationId", where))
            seen, in_path = set(), set()
            for parameter in operation.get("parameters", []):
                only(where, parameter, {"name", "in"},
                     {"description", "required", "schema", "style", "explode", "example"})
                place = (parameter["in"], parameter["name"])
                demand(place[0] in ("query", "header", "path", "cookie"), f"{where}: {place}")
                demand(place not in seen, f"{where}: {place} is there twice")
                seen.add(place)
                check_schema(parameter["schema"], f"{where} {place}")
                if parameter["in"] == "path":
                    in_path.add(parameter["name"])
                    demand(parameter.get("required") is True, f"{where}: {place} is not required")
            demand(in_path == set(re.findall(r"{(\w+)}", path)), f"{where}: names of its path")
            if "requestBody" in operation:
                only(where, operation["requestBody"], {"content"}, {"description", "required"})
                contents(where, operation["requestBody"]["content"])
            demand(operation["responses"], f"{where} has no responses")
            for status, answer in operation["responses"].items():
                demand(re.fullmatch(r"default|[1-5](\d\d|XX)", status), f"{where}: {status}")
                only(f"{where} {status}", answer, {"description"}, {"content", "headers", "links"})
                if "content" in answer:
                    contents(f"{where} {status}", answer["content"])


def operation_of(document, method, path):
    """The path's template and what the document says of the method there, or (None, None). Names
    in braces give way to paths that are there as they stand."""
    def fits(template):
        pattern = "".join("[^/]+" if part.startswith("{") else re.escape(part)
                          for part in re.split(r"({\w+})", template))
        return re.fullmatch(pattern, path)

    fitting = sorted((template for template in document["paths"] if fits(template)),
                     key=lambda template: template.count("{"))
    method = "get" if method.lower() == "head" else method.lower()
    for template in fitting:
        if method in document["paths"][template]:
            return template, document["paths"][template][method]
    return None, None


def check_answer(document, method, path, status, kind, body):
    """That the answer to a request is one that the document tells of. `kind`: its Content-Type;
    `body`: bytes."""
    where = f"{method} {path}: {status} {kind}: {body[:300]}"
    path = path.split("?")[0]
    _, operation = operation_of(document, method, path)
    if operation is None:
        if status not in (401, 403, 404, 405, 429):
            raise AssertionError(f"not in the document: {where}")
        any_path = next(iter(document["paths"].values()))
        schemas = next(iter(any_path.values()))["responses"]["default"]
    else:
        answers = operation["responses"]
        schemas = answers.get(str(status)) or (answers.get("default") if status >= 400 else None)
        if schemas is None:
            raise AssertionError(f"this status is not in the document: {where}")
    content = schemas.get("content")
    if method.upper() == "HEAD" or content is None:
        if body:
            raise AssertionError(f"a body where there should be none: {where}")
        return
    plain = (kind or "").split(";")[0].strip()
    if plain not in content:
        raise AssertionError(f"{sorted(content)} are in the document: {where}")
    if "json" not in plain:
        return
    value = json.loads(body)
    errors = list(jsonschema.Draft202012Validator(content[plain].get("schema", {}))
                  .iter_errors(value))
    if errors:
        first = errors[0]
        raise AssertionError(f"{first.json_path}: {first.message[:300]}\n{where}")
    if plain == PROBLEM and value["status"] != status:
        raise AssertionError(f"the body says another status: {where}")


class Client:
    """Requests to one gateway, each on the same connection; every answer is checked."""

    def __init__(self, address, headers=None):
        self.address, self.headers = address, headers or {}
        self.connection = http.client.HTTPConnection(*address, timeout=harness.LIMIT_S)
        self.document = None
        self.document = self.get("/api/v1/openapi.json").body
        check_document(self.document)

    def close(self):
        self.connection.close()

    def request(self, method, path, body=None, headers=None, **query):
        """An Answer; JSON in it is read. `body`: what becomes JSON, or bytes that go as they
        are."""
        if query:
            path += "?" + urllib.parse.urlencode(query)
        fields = dict(self.headers)
        if body is not None or method in ("POST", "PUT", "PATCH"):
            fields["Content-Type"] = "application/json"
        fields |= headers or {}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        self.connection.request(method, path, data, fields)
        answer = self.connection.getresponse()
        raw, kind = answer.read(), answer.getheader("Content-Type")
        if self.document is not None:
            check_answer(self.document, method, path, answer.status, kind, raw)
        is_json = raw and kind and "json" in kind
        return Answer(answer.status, answer.headers, json.loads(raw) if is_json else raw)

    def get(self, path, **query):
        return self.request("GET", path, **query)

    def post(self, path, body=None, **options):
        return self.request("POST", path, body, **options)

    def put(self, path, body=None, **options):
        return self.request("PUT", path, body, **options)

    def patch(self, path, body=None, **options):
        return self.request("PATCH", path, body, **options)

    def delete(self, path, **options):
        return self.request("DELETE", path, **options)


class OneShard(harness.GatewayTest):
    """A gateway of one shard, a client of its API, and terminals that sign in."""

    def begin(self, **settings):
        self.gateway = self.start({"server.shards": "1"} | settings)
        self.client = Client(self.gateway.address("http"))
        self.addCleanup(self.client.close)

    def sign_in(self, phone):
        terminal = jt808.Terminal(self.gateway.address(), phone)
        self.addCleanup(terminal.close)
        return terminal.sign_in()
