//! The OpenAPI 3.1 document, made from the table of routes.

use super::access::stand;
use super::routes::{Content, Operation, ROUTES, Route};
use dsm_sdk::api::limit;
use serde_json::{Map, Value, json};

/// The document.
pub(super) fn document() -> Value {
    let paths: Map<String, Value> = ROUTES.iter().map(|route| (route.path.to_owned(), path(route))).collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "DSM core node",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Ids are 64 lower-case hex digits, policies CIDs, amounts decimal text of base units, \
                            bytes lower-case hex. Canonical bytes are Borsh. Errors are RFC 9457 problem details \
                            with a stable `code`. A submission is made once: its transition's id is what \
                            `Idempotency-Key` would be, and the same bytes get the same receipt.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
                "bearer": { "type": "http", "scheme": "bearer", "description": "An API key, or a token in JWT, HS256." },
            },
        },
    })
}

fn path(route: &Route) -> Value {
    let operations: Map<String, Value> = route
        .operations
        .iter()
        .map(|operation| (operation.method.to_owned(), describe(route.path, operation)))
        .collect();
    Value::Object(operations)
}

fn describe(path: &str, operation: &Operation) -> Value {
    let named = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let in_path = named.map(
        |name| json!({ "name": name, "in": "path", "required": true, "schema": in_path_as(path, name) }),
    );
    let in_query = operation
        .query
        .iter()
        .map(|name| json!({ "name": name, "in": "query", "required": false, "schema": in_query_as(name) }));
    let parameters: Vec<Value> = in_path.chain(in_query).collect();
    let problem = json!({
        "description": "Refused; `code` says why.",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    let mut described = json!({
        "operationId": format!("{:?}", operation.name),
        "summary": operation.summary,
        "parameters": parameters,
        "responses": {
            "200": { "description": "Done.", "content": content(operation.answer) },
            "default": problem,
        },
    });
    // On a loopback address without keys nobody is asked; the words are the scopes that a key needs.
    if let (Some(scope), _) = stand(operation.name) {
        described["security"] = json!([{}, { "key": [scope] }, { "bearer": [scope] }]);
    }
    if operation.request != Content::Empty {
        described["requestBody"] = json!({ "required": true, "content": content(operation.request) });
    }
    described
}

/// What stands for a name in a path: an id, the CID of a policy, a number.
fn in_path_as(path: &str, name: &str) -> Value {
    match name {
        "index" | "nonce" => number(),
        "id" if path.starts_with("/v1/policies/") => {
            json!({ "type": "string", "pattern": "^b[a-z2-7]{58}$" })
        }
        _ => id(),
    }
}

/// What a parameter of a query is.
fn in_query_as(name: &str) -> Value {
    match name {
        "limit" => json!({ "type": "integer", "minimum": 1, "maximum": limit::PAGE_ITEMS_MAX }),
        "from" | "to" | "size" => number(),
        "durability" => json!({ "type": "string", "pattern": DURABILITY }),
        "account" | "token" | "transition" => id(),
        // The last item of the page before: an id, or the CID of a policy.
        _ => json!({ "type": "string" }),
    }
}

/// How far something is durable.
const DURABILITY: &str = "^(local|primary|replicated:[0-9]+)$";

fn id() -> Value {
    json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })
}

fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn content(content: Content) -> Value {
    let face = |name: &str| json!({ "schema": { "$ref": format!("#/components/schemas/{name}") } });
    let bytes = |name: &str| json!({ "schema": { "type": "string", "format": "binary", "description": format!("Canonical bytes of {name}.") } });
    match content {
        Content::Empty => json!({}),
        Content::Json(name) => json!({ "application/json": face(name) }),
        Content::Octets(name) => json!({ "application/octet-stream": bytes(name) }),
        Content::Both(name, type_name) => {
            json!({ "application/json": face(name), "application/octet-stream": bytes(type_name) })
        }
        Content::Text(kind) => json!({ kind: { "schema": { "type": "string" } } }),
    }
}

/// The faces that clients write or must understand in full are spelled out; of the others the document names
/// the kind, and `dsm_sdk::api` the fields.
fn schemas() -> Value {
    let text = || json!({ "type": "string" });
    let hex = || json!({ "type": "string", "pattern": "^([0-9a-f]{2})*$" });
    let amount = || json!({ "type": "string", "pattern": "^[0-9]+$" });
    let cid = || json!({ "type": "string", "pattern": "^b[a-z2-7]{58}$" });
    let fields = || json!({ "type": "array", "items": open(json!({ "name": text(), "value": { "type": "object" } }), &["name", "value"]) });
    let or_null = |schema: Value| json!({ "anyOf": [schema, { "type": "null" }] });
    let mut schemas = json!({
        "SubmitRequest": closed(json!({ "signed": hex() }), &["signed"]),
        "BatchRequest": closed(json!({ "signed": { "type": "array", "maxItems": 1000, "items": hex() } }), &["signed"]),
        "EvidenceRequest": closed(json!({ "transitions": { "type": "array", "minItems": 1, "maxItems": 64, "items": id() }, "whole": { "type": "boolean" } }), &["transitions"]),
        "AddPeerRequest": closed(json!({ "address": text(), "key": hex() }), &["address"]),
        "PeerRequest": closed(json!({ "node": id(), "force": { "type": "boolean" } }), &["node"]),
        "ConfigRequest": closed(json!({ "set": { "type": "object", "additionalProperties": { "type": "array", "items": text() } } }), &[]),
        "ViewRequest": closed(json!({ "query": text(), "args": { "type": "array" } }), &["query"]),
        "Problem": open(
            json!({ "type": text(), "title": text(), "status": number(), "detail": text(), "code": text(),
                    "head": { "type": "object" }, "denial": { "type": "object" }, "fault": { "type": "object" },
                    "equivocation": { "type": "object" }, "shortfall": { "type": "object" }, "findings": { "type": "array", "items": text() },
                    "request": text(), "retry_after_ms": number() }),
            &["type", "title", "status", "detail", "code"],
        ),
        "Receipt": open(
            json!({ "network": id(), "transition": id(), "position": number(), "log_digest": id(),
                    "time_ms": number(), "durability": { "type": "string", "pattern": DURABILITY },
                    "storage_nodes": { "type": "array", "items": id() },
                    "accounts": { "type": "array", "items": open(
                        json!({ "account": id(), "height": number(), "state": id() }), &["account", "height", "state"]) },
                    "tokens": { "type": "array", "items": open(
                        json!({ "token": id(), "height": number(), "state": id() }), &["token", "height", "state"]) },
                    "credits": { "type": "array", "items": open(
                        json!({ "credit": id(), "token": id(), "to": id(), "amount": amount() }),
                        &["credit", "token", "to", "amount"]) },
                    "holds": { "type": "array", "items": id() } }),
            &["network", "transition", "position", "log_digest", "time_ms", "durability", "storage_nodes",
              "accounts", "tokens", "credits", "holds"],
        ),
        "TokenInfo": open(
            json!({ "token": id(), "name": text(), "symbol": text(), "decimals": number(), "issuer": id(),
                    "cap": or_null(amount()), "salt": id(),
                    "policies": { "type": "array", "description": "The policies that judge it now.", "items": open(
                        json!({ "policy": cid(), "name": text(), "params": fields() }), &["policy", "name", "params"]) },
                    "upgrades": or_null(open(json!({ "by": number(), "delay_ms": number() }), &["by", "delay_ms"])),
                    "waiting": { "type": "array", "description": "Upgrades that anybody may put in force from `due_ms` on.", "items": open(
                        json!({ "policy_index": number(), "policy": cid(), "name": text(), "params": fields(), "due_ms": number() }),
                        &["policy_index", "policy", "name", "params", "due_ms"]) },
                    "head": id(), "state": { "type": "object" }, "time_ms": number() }),
            &["token", "name", "symbol", "decimals", "issuer", "cap", "salt", "policies", "upgrades", "waiting",
              "head", "state", "time_ms"],
        ),
    });
    for name in named() {
        if schemas.get(name).is_none() {
            schemas[name] = json!({ "type": "object" });
        }
    }
    schemas
}

fn open(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required })
}

fn closed(properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

/// All faces that the routes name.
fn named() -> impl Iterator<Item = &'static str> {
    let contents = ROUTES.iter().flat_map(|route| route.operations).flat_map(|one| [one.request, one.answer]);
    contents.filter_map(|content| match content {
        Content::Json(name) | Content::Both(name, _) => Some(name),
        Content::Octets(_) | Content::Text(_) | Content::Empty => None,
    })
}
