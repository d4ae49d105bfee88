# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of JSON Schema as openapi.json uses. A keyword that is not known here is an error, not passed over."""
import re

UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
NOTES = {"description", "default", "readOnly"}
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}


class Schemas:
    def __init__(self, document):
        self.document = document

    def resolve(self, schema):
        while "$ref" in schema:
            target = self.document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                target = target[part]
            schema = target
        return schema

    def check(self, value, schema, where="body"):
        schema = self.resolve(schema)
        for keyword, wanted in schema.items():
            if keyword not in NOTES:
                getattr(self, "_" + keyword)(value, wanted, where, schema)

    def _type(self, value, wanted, where, _):
        for name in wanted if isinstance(wanted, list) else [wanted]:
            if name in TYPES and isinstance(value, TYPES[name]):
                return
            if name in ("integer", "number") and not isinstance(value, bool) and isinstance(
                    value, (int, float) if name == "number" else int):
                return
        raise AssertionError(f"{where} is {value!r}, not {wanted}")

    def _properties(self, value, wanted, where, _):
        for name, schema in wanted.items():
            if isinstance(value, dict) and name in value:
                self.check(value[name], schema, f"{where}.{name}")

    def _required(self, value, wanted, where, _):
        if isinstance(value, dict):
            missing = set(wanted) - set(value)
            assert not missing, f"{where} lacks {sorted(missing)}"

    def _additionalProperties(self, value, wanted, where, schema):
        if wanted is False and isinstance(value, dict):
            more = set(value) - set(schema["properties"])
            assert not more, f"{where} has {sorted(more)}, which nobody describes"

    def _items(self, value, wanted, where, _):
        for number, item in enumerate(value if isinstance(value, list) else ()):
            self.check(item, wanted, f"{where}[{number}]")

    def _enum(self, value, wanted, where, _):
        assert value in wanted, f"{where} is {value!r}, none of {wanted}"

    def _const(self, value, wanted, where, _):
        assert value == wanted, f"{where} is {value!r}, not {wanted}"

    def _minimum(self, value, wanted, where, _):
        assert value is None or value >= wanted, f"{where} is {value!r}, below {wanted}"

    def _exclusiveMinimum(self, value, wanted, where, _):
        assert value is None or value > wanted, f"{where} is {value!r}, not above {wanted}"

    def _maximum(self, value, wanted, where, _):
        assert value is None or value <= wanted, f"{where} is {value!r}, above {wanted}"

    def _multipleOf(self, value, wanted, where, _):
        assert value % wanted == 0, f"{where} is {value!r}, no multiple of {wanted}"

    def _minItems(self, value, wanted, where, _):
        assert len(value) >= wanted, f"{where} has {len(value)} items, fewer than {wanted}"

    def _maxItems(self, value, wanted, where, _):
        assert len(value) <= wanted, f"{where} has {len(value)} items, more than {wanted}"

    def _pattern(self, value, wanted, where, _):
        assert re.search(wanted, value), f"{where} is {value!r}, which is not {wanted}"

    def _format(self, value, wanted, where, _):
        assert wanted == "uuid" and UUID.fullmatch(value), f"{where} is {value!r}, no {wanted}"
