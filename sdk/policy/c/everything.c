/* A policy for the header's own test, host/tests/engine/c.rs: it reads every field of an input into the header's
 * structures and writes it back from them, asks for every effect, calls every host function and answers every type. */
#include "dsm_policy.h"

static const dsm_parameter args[] = {
    {"bool", DSM_BOOL, "d"},       {"u64", DSM_U64, "d"},         {"u128", DSM_U128, "d"},
    {"i128", DSM_I128, "d"},       {"text", DSM_TEXT_VALUE, "d"}, {"bytes", DSM_BYTES, "d"},
    {"digest", DSM_DIGEST, "d"},   {"account", DSM_ACCOUNT, "d"}, {"token", DSM_TOKEN, "d"},
    {"key", DSM_KEY, "d"},         {"accounts", DSM_ACCOUNTS, "d"}, {"keys", DSM_KEYS, "d"},
    {"texts", DSM_TEXTS, "d"},
};
static const dsm_method methods[] = {{"mirror", 0, 0, "Writes the input back."}};
static const dsm_method queries[] = {{"values", DSM_COUNT(args), args, "Gives its arguments back."}};
static const dsm_denial_code denials[] = {DSM_STANDARD_DENIALS, {300, "no", "Never."}};
static const dsm_u8 evidence[] = {DSM_CREDENTIAL, DSM_HASH_PREIMAGE, DSM_ATTESTATION, DSM_BRIDGE_PROOF, DSM_ORACLE_ROUND};
static const dsm_foreign_read foreign_reads[] = {{"token", 2}};

static const dsm_description dsm_about = {
    .name = "everything",
    .version = "1.2.3",
    .summary = "Tries the header.",
    .param_count = DSM_COUNT(args),
    .params = args,
    .method_count = DSM_COUNT(methods),
    .methods = methods,
    .query_count = DSM_COUNT(queries),
    .queries = queries,
    .denial_count = DSM_COUNT(denials),
    .denials = denials,
    .evidence_count = DSM_COUNT(evidence),
    .evidence = evidence,
    .foreign_read_count = DSM_COUNT(foreign_reads),
    .foreign_reads = foreign_reads,
};

static void write_end(dsm_writer *w, const dsm_hold *hold) {
    dsm_write_u8(w, hold->kind);
    dsm_write_end_ms(w, hold->expires ? &hold->expires_ms : 0);
}

static void write_hold(dsm_writer *w, const dsm_hold *hold) {
    dsm_write_id(w, hold->id);
    dsm_write_id(w, hold->token);
    dsm_write_id(w, hold->owner);
    dsm_write_id(w, hold->beneficiary);
    dsm_write_u128(w, hold->amount);
    write_end(w, hold);
}

static void write_values(dsm_writer *w, dsm_list list) {
    dsm_write_u32(w, list.count);
    for (dsm_u32 i = 0; i < list.count; i++) {
        dsm_value value = dsm_read_value(&list.items);
        dsm_write_value(w, &value);
    }
}

static void write_leg(dsm_writer *w, const dsm_leg *leg) {
    dsm_write_id(w, leg->token);
    dsm_write_id(w, leg->actor);
    dsm_write_u8(w, leg->action);
    switch (leg->action) {
    case DSM_MINT:
        dsm_write_id(w, leg->to);
        dsm_write_u128(w, leg->amount);
        break;
    case DSM_BURN: dsm_write_u128(w, leg->amount); break;
    case DSM_TRANSFER:
        dsm_write_id(w, leg->to);
        dsm_write_u128(w, leg->amount);
        dsm_write_u8(w, (dsm_u8)leg->bilateral);
        break;
    case DSM_CLAIM:
        dsm_write_id(w, leg->credit);
        dsm_write_id(w, leg->from);
        dsm_write_u128(w, leg->amount);
        break;
    case DSM_HOLD:
        dsm_write_id(w, leg->to);
        dsm_write_u128(w, leg->amount);
        write_end(w, &leg->hold);
        break;
    case DSM_RELEASE:
    case DSM_EXECUTE: write_hold(w, &leg->hold); break;
    case DSM_INVOKE:
        dsm_write_u8(w, leg->policy_index);
        dsm_write_bytes(w, leg->method);
        write_values(w, leg->args);
        break;
    case DSM_UPGRADE:
        dsm_write_u8(w, leg->policy_index);
        dsm_write_id(w, leg->from);
        break;
    default: break;
    }
}

static void write_evidence(dsm_writer *w, dsm_evidence e) {
    dsm_write_u8(w, e.kind);
    switch (e.kind) {
    case DSM_CREDENTIAL:
        dsm_write_id(w, e.account);
        dsm_write_id(w, e.subject);
        dsm_write_bytes(w, e.text);
        dsm_write_id(w, e.digest);
        dsm_write_u64(w, e.until_ms);
        dsm_write_u32(w, e.items.count);
        for (dsm_u32 i = 0; i < e.items.count; i++) {
            dsm_field field = dsm_read_field(&e.items.items);
            dsm_write_bytes(w, field.name);
            dsm_write_value(w, &field.value);
        }
        break;
    case DSM_HASH_PREIMAGE:
        dsm_write_u32(w, e.algorithm);
        dsm_write_id(w, e.digest);
        dsm_write_bytes(w, e.payload);
        break;
    case DSM_ATTESTATION:
        dsm_write_id(w, e.account);
        dsm_write_id(w, e.key);
        dsm_write_u8(w, e.role);
        dsm_write_bytes(w, e.text);
        dsm_write_bytes(w, e.payload);
        break;
    case DSM_BRIDGE_PROOF:
        dsm_write_id(w, e.bridge);
        dsm_write_u64(w, e.chain_id);
        dsm_write_raw(w, e.contract, 20);
        dsm_write_u64(w, e.nonce);
        dsm_write_u8(w, e.lock_kind);
        dsm_write_raw(w, e.asset, 20);
        dsm_write_raw(w, e.sender, 20);
        dsm_write_id(w, e.token);
        dsm_write_id(w, e.account);
        dsm_write_u128(w, e.amount);
        dsm_write_u64(w, e.until_ms);
        dsm_write_id(w, e.digest);
        dsm_write_u64(w, e.height);
        dsm_write_u8(w, e.trust);
        break;
    default:
        dsm_write_id(w, e.digest);
        dsm_write_u64(w, e.height);
        dsm_write_u8(w, e.decimals);
        dsm_write_u32(w, e.items.count);
        for (dsm_u32 i = 0; i < e.items.count; i++) {
            dsm_observation one = dsm_read_observation(&e.items.items);
            dsm_write_id(w, one.account);
            dsm_write_id(w, one.key);
            dsm_write_u8(w, one.role);
            dsm_write_u128(w, (dsm_u128)one.answer);
            dsm_write_u64(w, one.observed_ms);
        }
    }
}

static void write_signer(dsm_writer *w, dsm_signer signer) {
    dsm_write_id(w, signer.account);
    dsm_write_u32(w, signer.keys.count);
    for (dsm_u32 i = 0; i < signer.keys.count; i++) {
        dsm_signed_key key = dsm_read_signed_key(&signer.keys.items);
        dsm_write_id(w, key.key);
        dsm_write_u8(w, key.role);
    }
}

static void write_party(dsm_writer *w, dsm_party party) {
    dsm_write_id(w, party.account);
    dsm_write_u128(w, party.balance);
    dsm_write_u128(w, party.available);
    dsm_write_u8(w, (dsm_u8)party.frozen);
    dsm_write_u32(w, party.holds.count);
    for (dsm_u32 i = 0; i < party.holds.count; i++) {
        dsm_hold hold = dsm_read_hold(&party.holds.items);
        write_hold(w, &hold);
    }
}

static void write_input(dsm_writer *w, const dsm_input *input) {
    dsm_list legs = input->legs, signers = input->signers, parties = input->parties, foreign = input->foreign;
    dsm_list all_evidence = input->evidence;
    dsm_write_u8(w, input->abi);
    dsm_write_u8(w, input->policy_index);
    dsm_write_u8(w, input->leg);
    dsm_write_u64(w, input->time_ms);
    dsm_write_id(w, input->network);
    dsm_write_id(w, input->token.id);
    dsm_write_u64(w, input->token.height);
    dsm_write_id(w, input->token.issuer);
    dsm_write_u128(w, input->token.supply);
    dsm_write_u8(w, (dsm_u8)input->token.has_cap);
    if (input->token.has_cap) dsm_write_u128(w, input->token.cap);
    dsm_write_u8(w, input->token.decimals);
    dsm_write_u32(w, legs.count);
    for (dsm_u32 i = 0; i < legs.count; i++) {
        dsm_leg leg = dsm_read_leg(&legs.items);
        write_leg(w, &leg);
    }
    dsm_write_u32(w, signers.count);
    for (dsm_u32 i = 0; i < signers.count; i++) write_signer(w, dsm_read_signer(&signers.items));
    dsm_write_u32(w, parties.count);
    for (dsm_u32 i = 0; i < parties.count; i++) write_party(w, dsm_read_party(&parties.items));
    write_values(w, input->params);
    dsm_write_u32(w, all_evidence.count);
    for (dsm_u32 i = 0; i < all_evidence.count; i++) write_evidence(w, dsm_read_evidence(&all_evidence.items));
    dsm_write_u32(w, foreign.count);
    for (dsm_u32 i = 0; i < foreign.count; i++) {
        dsm_foreign_balance balance = dsm_read_foreign_balance(&foreign.items);
        dsm_write_u8(w, balance.read);
        dsm_write_id(w, balance.token);
        dsm_write_id(w, balance.account);
        dsm_write_u128(w, balance.balance);
        dsm_write_u128(w, balance.available);
    }
}

/* The input as events of at most so many bytes as an event may have. */
static void mirror(const dsm_input *input, dsm_effects *effects) {
    dsm_writer w = dsm_writer_of(DSM_OUTPUT_BYTES_MAX);
    write_input(&w, input);
    for (dsm_u32 at = 0; at < w.len; at += DSM_EVENT_BYTES_MAX) {
        dsm_u32 len = w.len - at < DSM_EVENT_BYTES_MAX ? w.len - at : DSM_EVENT_BYTES_MAX;
        dsm_event(effects, DSM_TEXT("input"), (dsm_bytes){w.start + at, len});
    }
}

static void ask_for_everything(const dsm_input *input, dsm_effects *effects) {
    dsm_id actor = input->judged.actor, issuer = input->token.issuer;
    dsm_u64 end_ms = 9;
    dsm_value count = {.type = DSM_U64, .u64 = 7};
    dsm_writer params = dsm_writer_of(9);
    dsm_set_state(effects, DSM_TEXT("key"), DSM_TEXT("value"));
    dsm_delete_state(effects, DSM_TEXT("other"));
    dsm_create_hold(effects, actor, issuer, 3, DSM_LOCK, &end_ms);
    dsm_extend_hold(effects, actor, 0);
    dsm_release_hold(effects, actor);
    dsm_execute_hold(effects, issuer);
    dsm_event(effects, DSM_TEXT("topic"), DSM_TEXT("payload"));
    dsm_freeze(effects, actor);
    dsm_unfreeze(effects, issuer);
    dsm_request_mint(effects, actor, 4);
    dsm_request_burn(effects, issuer, 5);
    dsm_request_transfer(effects, actor, issuer, ~(dsm_u128)0);
    dsm_emit(effects, 1, DSM_TEXT("out"));
    dsm_write_value(&params, &count);
    dsm_schedule_upgrade(effects, 2, actor, 1, &params, 10);
    dsm_cancel_upgrade(effects, 3);
}

static void call_everything(dsm_effects *effects) {
    dsm_u8 out[1024];
    int len = dsm1_state_scan("k", 1, "k1", 2, 2, out, sizeof out);
    dsm_event(effects, DSM_TEXT("scan"), (dsm_bytes){out, (dsm_u32)len});
    len = dsm1_foreign_get(0, "f", 1, out, sizeof out);
    dsm_event(effects, DSM_TEXT("foreign"), (dsm_bytes){out, (dsm_u32)len});
    dsm1_hash(DSM_BLAKE3, "abc", 3, out);
    dsm_event(effects, DSM_TEXT("hash"), (dsm_bytes){out, 32});
    out[0] = (dsm_u8)dsm1_verify(DSM_ML_DSA_65, "key", 3, "abc", 3, "abc", 3);
    out[1] = (dsm_u8)dsm1_verify(DSM_ML_DSA_65, "key", 3, "abc", 3, "abd", 3);
    dsm_event(effects, DSM_TEXT("verify"), (dsm_bytes){out, 2});
    dsm1_note(7, "noted", 5);
}

static dsm_bool dsm_judge(const dsm_input *input, dsm_effects *effects, dsm_denial *denial) {
    switch (input->judged.action) {
    case DSM_CREATE: ask_for_everything(input, effects); return 1;
    case DSM_INVOKE: mirror(input, effects); return 1;
    case DSM_BURN: call_everything(effects); return 1;
    case DSM_MINT:
        denial->code = 300;
        denial->field = DSM_TEXT("amount");
        dsm_say_number(&denial->reason, ~(dsm_u128)0);
        for (int i = 0; i < 200; i++) dsm_say(&denial->reason, DSM_TEXT("\xe2\x82\xac"));
        dsm_say(&denial->hint, DSM_TEXT("less"));
        return 0;
    case DSM_CLAIM: denial->code = DSM_ARITHMETIC; return 0;
    default: dsm_fault();
    }
}

static dsm_bool dsm_query(const dsm_view_input *input, dsm_writer *answer, dsm_denial *denial) {
    if (!dsm_same(input->query, DSM_TEXT("values"))) {
        denial->code = DSM_UNKNOWN_QUERY;
        return 0;
    }
    dsm_list values = input->args;
    *answer = dsm_answer(values.count);
    for (dsm_u32 i = 0; i < values.count; i++) {
        dsm_value value = dsm_read_value(&values.items);
        dsm_write_bytes(answer, dsm_type_word(value.type));
        dsm_write_value(answer, &value);
    }
    return 1;
}
