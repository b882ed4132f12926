/* The policy spend-limit in C: the twin of ../src/lib.rs. Both pass the same cases with the same bytes; the reasons
 * for the rules stand there. */
#include "dsm_policy.h"

#define AUTHORITIES_MAX 16
#define DAY_MS 86400000ull
#define NO_LIMIT (~(dsm_u128)0)

enum {
    OVER_TRANSFER_LIMIT = 100,
    OVER_DAILY_LIMIT = 101,
    NOT_AUTHORIZED = 102,
    NOT_ISSUER = 103,
    BAD_TERMS = 104,
};

static const dsm_parameter params[] = {
    {"transfer_max", DSM_U128, "Base units that one transfer may move; 0 sets no limit."},
    {"daily_max", DSM_U128, "Base units that one account may send on one UTC day; 0 sets no limit."},
    {"authorities", DSM_KEYS,
     "The keys that may set other limits together, at most 16; without any the limits are fixed."},
    {"threshold", DSM_U64, "How many distinct authority keys must sign; 0 if there are none."},
};

static const dsm_parameter set_limits_args[] = {{"transfer_max", DSM_U128, 0}, {"daily_max", DSM_U128, 0}};
static const dsm_parameter sent_args[] = {{"account", DSM_ACCOUNT, 0}};

static const dsm_method methods[] = {
    {"set_limits", DSM_COUNT(set_limits_args), set_limits_args,
     "Sets other limits, in base units; 0 sets no limit. Needs the authorities."},
};

static const dsm_method queries[] = {
    {"limits_in_force", 0, 0, "The limits in force, in base units; 0 is no limit."},
    {"sent", DSM_COUNT(sent_args), sent_args,
     "What an account has sent today (UTC), and what the daily limit leaves; without a limit, all there is."},
};

static const dsm_denial_code denials[] = {
    DSM_STANDARD_DENIALS,
    {OVER_TRANSFER_LIMIT, "over_transfer_limit", "The amount is larger than one transfer may move."},
    {OVER_DAILY_LIMIT, "over_daily_limit", "What the account sends on this UTC day would exceed the daily limit."},
    {NOT_AUTHORIZED, "not_authorized",
     "Too few authority keys signed, or the terms name none and the limits are fixed."},
    {NOT_ISSUER, "not_issuer", "Only the account that created the token issues new units."},
    {BAD_TERMS, "bad_terms",
     "The terms take at most 16 distinct authorities and a threshold between 1 and their number, or neither."},
};

static const dsm_description dsm_about = {
    .name = "spend-limit",
    .version = "1.0.0",
    .summary = "Limits what one account sends, per transfer and per UTC day.",
    .param_count = DSM_COUNT(params),
    .params = params,
    .method_count = DSM_COUNT(methods),
    .methods = methods,
    .query_count = DSM_COUNT(queries),
    .queries = queries,
    .denial_count = DSM_COUNT(denials),
    .denials = denials,
};

typedef struct {
    dsm_u128 transfer_max, daily_max;
    dsm_list authorities;
    dsm_u64 threshold;
} terms;

typedef struct {
    dsm_u128 transfer_max, daily_max;
} limits;

static dsm_bool refuse(dsm_denial *denial, dsm_u16 code, dsm_bytes field) {
    denial->code = code;
    denial->field = field;
    return 0;
}

/* Takes the next value of a list; what is missing or of another type is denied with the code. */
static dsm_bool take(dsm_list *values, const dsm_parameter *expected, dsm_u16 code, dsm_value *value, dsm_denial *denial) {
    dsm_bytes name = dsm_text_of(expected->name);
    if (values->count == 0) {
        dsm_say(&denial->reason, DSM_TEXT("a value is missing"));
        return refuse(denial, code, name);
    }
    values->count--;
    *value = dsm_read_value(&values->items);
    if (value->type != expected->type) {
        dsm_say(&denial->reason, DSM_TEXT("not a value of type "));
        dsm_say(&denial->reason, dsm_type_word(expected->type));
        return refuse(denial, code, name);
    }
    return 1;
}

/* Takes exactly the described values. */
static dsm_bool take_all(dsm_list given, const dsm_parameter *expected, dsm_u32 count, dsm_u16 code, dsm_value *values, dsm_denial *denial) {
    for (dsm_u32 i = 0; i < count; i++)
        if (!take(&given, &expected[i], code, &values[i], denial)) return 0;
    if (given.count) {
        dsm_say(&denial->reason, DSM_TEXT("there are more values than the policy describes"));
        return refuse(denial, code, DSM_TEXT(""));
    }
    return 1;
}

static dsm_bool read_terms(dsm_list given, terms *out, dsm_denial *denial) {
    dsm_value values[DSM_COUNT(params)];
    if (!take_all(given, params, DSM_COUNT(params), DSM_BAD_PARAMETERS, values, denial)) return 0;
    *out = (terms){values[0].u128, values[1].u128, values[2].list, values[3].u64};
    return 1;
}

/* The value at a key, exactly so many bytes: only this policy writes its state. */
static dsm_bool stored(dsm_bytes key, void *out, dsm_u32 len) {
    dsm_u8 value[DSM_STATE_VALUE_BYTES_MAX];
    int found = dsm1_state_get(key.at, key.len, value, sizeof value);
    if (found < 0) return 0;
    if ((dsm_u32)found != len) dsm_fault();
    __builtin_memcpy(out, value, len);
    return 1;
}

static limits limits_of(const terms *given) {
    limits set = {given->transfer_max, given->daily_max};
    stored(DSM_TEXT("l"), &set, sizeof set);
    return set;
}

/* The key of what an account sent: a prefix and the account. */
typedef struct {
    dsm_u8 bytes[33];
} sent_key;

static sent_key sent_key_of(dsm_id account) {
    sent_key key = {{'d'}};
    __builtin_memcpy(key.bytes + 1, account, 32);
    return key;
}

static dsm_u128 sent_on(dsm_id account, dsm_u64 day) {
    sent_key key = sent_key_of(account);
    dsm_u8 record[24];
    if (!stored((dsm_bytes){key.bytes, sizeof key.bytes}, record, sizeof record)) return 0;
    dsm_reader r = dsm_read_from(record, sizeof record);
    return dsm_read_u64(&r) == day ? dsm_read_u128(&r) : 0;
}

static dsm_bool add(dsm_u128 *sum, dsm_u128 amount, dsm_denial *denial) {
    if (*sum + amount < *sum) {
        dsm_say(&denial->reason, DSM_TEXT("the result leaves the range of its type"));
        return refuse(denial, DSM_ARITHMETIC, DSM_TEXT(""));
    }
    *sum += amount;
    return 1;
}

static dsm_bool small_enough(limits in_force, dsm_u128 amount, dsm_denial *denial) {
    dsm_u128 max = in_force.transfer_max;
    if (max == 0 || amount <= max) return 1;
    dsm_say(&denial->reason, DSM_TEXT("the amount of "));
    dsm_say_number(&denial->reason, amount);
    dsm_say(&denial->reason, DSM_TEXT(" exceeds the limit of "));
    dsm_say_number(&denial->reason, max);
    dsm_say(&denial->reason, DSM_TEXT(" for one transfer"));
    dsm_say(&denial->hint, DSM_TEXT("send at most "));
    dsm_say_number(&denial->hint, max);
    dsm_say(&denial->hint, DSM_TEXT(" at once"));
    return refuse(denial, OVER_TRANSFER_LIMIT, DSM_TEXT("amount"));
}

/* Whether the leg moves units away from the sender, and how many. */
static dsm_bool moved(const dsm_leg *leg, dsm_id sender, dsm_u128 *amount) {
    *amount = leg->action == DSM_EXECUTE ? leg->hold.amount : leg->amount;
    return (leg->action == DSM_TRANSFER && dsm_same_id(leg->actor, sender)) ||
           (leg->action == DSM_EXECUTE && dsm_same_id(leg->hold.owner, sender));
}

static dsm_bool within_limits(const dsm_input *input, const terms *given, dsm_id sender, dsm_u128 amount, dsm_effects *effects, dsm_denial *denial) {
    limits in_force = limits_of(given);
    if (!small_enough(in_force, amount, denial)) return 0;
    if (in_force.daily_max == 0) return 1;
    dsm_u128 total = 0, one;
    dsm_u32 last = 0;
    dsm_reader legs = input->legs.items;
    for (dsm_u32 i = 0; i < input->legs.count; i++) {
        dsm_leg leg = dsm_read_leg(&legs);
        if (!dsm_same_id(leg.token, input->token.id) || !moved(&leg, sender, &one)) continue;
        if (!add(&total, one, denial)) return 0;
        last = i;
    }
    dsm_u64 day = input->time_ms / DAY_MS;
    dsm_u128 before = sent_on(sender, day), sent = before;
    if (!add(&sent, total, denial)) return 0;
    if (sent > in_force.daily_max) {
        dsm_say_number(&denial->reason, sent);
        dsm_say(&denial->reason, DSM_TEXT(" base units on this day exceed the daily limit of "));
        dsm_say_number(&denial->reason, in_force.daily_max);
        dsm_say(&denial->hint, DSM_TEXT("at most "));
        dsm_say_number(&denial->hint, before < in_force.daily_max ? in_force.daily_max - before : 0);
        dsm_say(&denial->hint, DSM_TEXT(" can still be sent on this UTC day"));
        return refuse(denial, OVER_DAILY_LIMIT, DSM_TEXT("amount"));
    }
    if (last == input->leg) {
        sent_key key = sent_key_of(sender);
        dsm_writer record = dsm_writer_of(24);
        dsm_write_u64(&record, day);
        dsm_write_u128(&record, sent);
        dsm_set_state(effects, (dsm_bytes){key.bytes, sizeof key.bytes}, (dsm_bytes){record.start, record.len});
    }
    return 1;
}

static dsm_bool created(const terms *given, dsm_denial *denial) {
    dsm_list keys = given->authorities;
    dsm_bool good = keys.count <= AUTHORITIES_MAX && given->threshold <= keys.count &&
                    (given->threshold == 0) == (keys.count == 0);
    for (dsm_u32 i = 0; i < keys.count && good; i++)
        for (dsm_u32 j = 0; j < i; j++) good &= !dsm_same_id(keys.items.at + 32 * i, keys.items.at + 32 * j);
    return good || refuse(denial, BAD_TERMS, DSM_TEXT(""));
}

static dsm_bool set_limits(const dsm_input *input, const terms *given, dsm_effects *effects, dsm_denial *denial) {
    dsm_value values[DSM_COUNT(set_limits_args)];
    if (!take_all(input->judged.args, set_limits_args, DSM_COUNT(set_limits_args), DSM_BAD_ARGUMENTS, values, denial))
        return 0;
    dsm_u64 signed_by = dsm_signed_by_keys(input, given->authorities);
    if (given->authorities.count == 0 || signed_by < given->threshold) {
        dsm_say_number(&denial->reason, signed_by);
        dsm_say(&denial->reason, DSM_TEXT(" of "));
        dsm_say_number(&denial->reason, given->threshold);
        dsm_say(&denial->reason, DSM_TEXT(" authority keys signed"));
        return refuse(denial, NOT_AUTHORIZED, DSM_TEXT("signers"));
    }
    dsm_writer set = dsm_writer_of(32);
    dsm_write_u128(&set, values[0].u128);
    dsm_write_u128(&set, values[1].u128);
    dsm_set_state(effects, DSM_TEXT("l"), (dsm_bytes){set.start, set.len});
    return 1;
}

static dsm_bool invoked(const dsm_input *input, const terms *given, dsm_effects *effects, dsm_denial *denial) {
    if (input->judged.policy_index != input->policy_index) return 1;
    if (dsm_same(input->judged.method, DSM_TEXT("set_limits"))) return set_limits(input, given, effects, denial);
    dsm_say(&denial->reason, DSM_TEXT("the policy has no method `"));
    dsm_say(&denial->reason, input->judged.method);
    dsm_say(&denial->reason, DSM_TEXT("`"));
    return refuse(denial, DSM_UNKNOWN_METHOD, DSM_TEXT("method"));
}

static dsm_bool unsupported(dsm_denial *denial, dsm_bytes action) {
    dsm_say(&denial->reason, DSM_TEXT("the policy has no rule that allows `"));
    dsm_say(&denial->reason, action);
    dsm_say(&denial->reason, DSM_TEXT("`"));
    return refuse(denial, DSM_UNSUPPORTED_ACTION, DSM_TEXT(""));
}

static dsm_bool dsm_judge(const dsm_input *input, dsm_effects *effects, dsm_denial *denial) {
    const dsm_leg *leg = &input->judged;
    terms given;
    if (!read_terms(input->params, &given, denial)) return 0;
    switch (leg->action) {
    case DSM_CREATE: return created(&given, denial);
    case DSM_MINT:
        return dsm_same_id(leg->actor, input->token.issuer) || refuse(denial, NOT_ISSUER, DSM_TEXT("actor"));
    case DSM_BURN:
    case DSM_CLAIM:
    case DSM_RELEASE: return 1;
    case DSM_TRANSFER: return within_limits(input, &given, leg->actor, leg->amount, effects, denial);
    case DSM_HOLD: return small_enough(limits_of(&given), leg->amount, denial);
    case DSM_EXECUTE: return within_limits(input, &given, leg->hold.owner, leg->hold.amount, effects, denial);
    case DSM_INVOKE: return invoked(input, &given, effects, denial);
    case DSM_UPGRADE: return unsupported(denial, DSM_TEXT("upgrade"));
    default: return unsupported(denial, DSM_TEXT("other"));
    }
}

static dsm_bool dsm_query(const dsm_view_input *input, dsm_writer *answer, dsm_denial *denial) {
    terms given;
    if (!read_terms(input->params, &given, denial)) return 0;
    if (dsm_same(input->query, DSM_TEXT("limits_in_force"))) {
        if (!take_all(input->args, 0, 0, DSM_BAD_ARGUMENTS, 0, denial)) return 0;
        limits in_force = limits_of(&given);
        *answer = dsm_answer(2);
        dsm_answer_field(answer, DSM_TEXT("transfer_max"), DSM_U128);
        dsm_write_u128(answer, in_force.transfer_max);
        dsm_answer_field(answer, DSM_TEXT("daily_max"), DSM_U128);
        dsm_write_u128(answer, in_force.daily_max);
        return 1;
    }
    if (dsm_same(input->query, DSM_TEXT("sent"))) {
        dsm_value account;
        if (!take_all(input->args, sent_args, DSM_COUNT(sent_args), DSM_BAD_ARGUMENTS, &account, denial)) return 0;
        dsm_u64 day = input->time_ms / DAY_MS;
        dsm_u128 sent = sent_on(account.id, day), max = limits_of(&given).daily_max;
        if (max == 0) max = NO_LIMIT;
        *answer = dsm_answer(3);
        dsm_answer_field(answer, DSM_TEXT("day"), DSM_U64);
        dsm_write_u64(answer, day);
        dsm_answer_field(answer, DSM_TEXT("sent"), DSM_U128);
        dsm_write_u128(answer, sent);
        dsm_answer_field(answer, DSM_TEXT("left"), DSM_U128);
        dsm_write_u128(answer, sent < max ? max - sent : 0);
        return 1;
    }
    return refuse(denial, DSM_UNKNOWN_QUERY, DSM_TEXT("query"));
}
