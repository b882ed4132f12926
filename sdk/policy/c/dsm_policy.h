/* DSM policies in C: the guest side of ABI version 1, freestanding, in one header.
 *
 * sdk/abi/ABI.md is the description of every byte; this header follows it. It has the host functions, a reader that
 * checks every bound, a writer over a buffer of fixed size, and the verdicts, answers and descriptions made with it.
 * Include it in exactly one file, define the four functions under "What a policy defines" below, and build:
 *
 *     clang --target=wasm32-unknown-unknown -mcpu=mvp -mbulk-memory -mmutable-globals -msign-ext -Os -ffreestanding
 *           -nostdlib -Wl,--no-entry -Wl,-z,stack-size=32768 -Wl,--max-memory=4194304 -o policy.wasm policy.c
 *
 * Rules that the compiler does not check. There is no libc. Floats do not pass the gate. 128-bit additions and
 * comparisons are inlined; multiplications, divisions and shifts by a variable are calls into a library that is not
 * there. The host makes a fresh instance for every call, so nothing is freed and globals start at their initial values.
 * Only the host writes inputs and only the policy writes its state (or one whose place it took, which it accepted), so
 * malformed bytes end in dsm_fault(): a trap, which refuses. All amounts are base units.
 */
#ifndef DSM_POLICY_H
#define DSM_POLICY_H

typedef unsigned char dsm_u8;
typedef unsigned short dsm_u16;
typedef unsigned int dsm_u32;
typedef unsigned long long dsm_u64;
typedef unsigned __int128 dsm_u128;
typedef __int128 dsm_i128;
typedef int dsm_bool;

_Static_assert(sizeof(dsm_u32) == 4 && sizeof(dsm_u64) == 8 && sizeof(dsm_u128) == 16, "sizes of wasm32");
_Static_assert(sizeof(void *) == 4, "build for wasm32");

#define DSM_ABI_VERSION 1

/* ---- Limits: sdk/abi/src/limit.rs; a test compares. ---- */

enum {
    DSM_STATE_KEY_BYTES_MAX = 64,
    DSM_STATE_VALUE_BYTES_MAX = 4096,
    DSM_STATE_READS_MAX = 64,
    DSM_STATE_WRITES_MAX = 32,
    DSM_EFFECTS_MAX = 64,
    DSM_OUTPUT_BYTES_MAX = 16384,
    DSM_DESCRIPTION_BYTES_MAX = 65536,
    DSM_INPUT_BYTES_MAX = 131072,
    DSM_REASON_BYTES_MAX = 256,
    DSM_FIELD_BYTES_MAX = 64,
    DSM_HINT_BYTES_MAX = 256,
    DSM_TOPIC_BYTES_MAX = 64,
    DSM_EVENT_BYTES_MAX = 1024,
    DSM_EMIT_BYTES_MAX = 1024,
};

/* ---- The host functions: sdk/abi/src/import.rs; a test compares. ---- */

#define DSM_IMPORT(name) __attribute__((import_module("dsm1"), import_name(#name)))

/* The length of the value written to out, or -1 if the key is absent. */
DSM_IMPORT(state_get) int dsm1_state_get(const void *key, dsm_u32 key_len, void *out, dsm_u32 out_cap);
/* The length of a list of (key, value) written to out: at most limit entries whose key starts with prefix and is
 * greater than after, in key order. */
DSM_IMPORT(state_scan) int dsm1_state_scan(const void *prefix, dsm_u32 prefix_len, const void *after, dsm_u32 after_len, dsm_u32 limit, void *out, dsm_u32 out_cap);
/* As state_get, in the state of the foreign read that the description declares at position read. */
DSM_IMPORT(foreign_get) int dsm1_foreign_get(dsm_u32 read, const void *key, dsm_u32 key_len, void *out, dsm_u32 out_cap);
/* Writes the 32-byte digest of the input to out. */
DSM_IMPORT(hash) void dsm1_hash(dsm_u32 alg, const void *input, dsm_u32 input_len, void *out);
/* 1 if the signature verifies, else 0. */
DSM_IMPORT(verify) int dsm1_verify(dsm_u32 alg, const void *key, dsm_u32 key_len, const void *message, dsm_u32 message_len, const void *signature, dsm_u32 signature_len);
/* Leaves a note in the trace; it is never part of the verdict. */
DSM_IMPORT(note) void dsm1_note(dsm_u32 code, const void *text, dsm_u32 text_len);

enum { DSM_BLAKE3 = 0, DSM_SHA256 = 1, DSM_KECCAK256 = 2 };
enum { DSM_ML_DSA_65 = 0, DSM_ED25519 = 1, DSM_SECP256K1_RECOVER = 2 };

/* Ends the evaluation without a verdict. The host sees a fault and refuses. */
__attribute__((noreturn)) static inline void dsm_fault(void) { __builtin_trap(); }

/* ---- Memory: everything above __heap_base, taken once and never given back. ---- */

extern dsm_u8 __heap_base;
static dsm_u32 dsm_heap_next;

static void *dsm_reserve(dsm_u32 bytes) {
    dsm_u32 start = dsm_heap_next ? dsm_heap_next : ((dsm_u32)&__heap_base + 15) & ~15u;
    dsm_u32 end = start + ((bytes + 15) & ~15u);
    dsm_u32 have = (dsm_u32)__builtin_wasm_memory_size(0) << 16;
    if (end < start) dsm_fault();
    if (end > have && __builtin_wasm_memory_grow(0, (end - have + 65535) >> 16) == (dsm_u32)-1) dsm_fault();
    dsm_heap_next = end;
    return (void *)start;
}

/* Some bytes: a text of the input, or of the module. */
typedef struct {
    const dsm_u8 *at;
    dsm_u32 len;
} dsm_bytes;

/* A literal of C, without its final zero. */
#define DSM_TEXT(literal) ((dsm_bytes){(const dsm_u8 *)(literal), sizeof(literal) - 1})

static inline dsm_bool dsm_equal(const dsm_u8 *one, const dsm_u8 *other, dsm_u32 len) {
    for (dsm_u32 i = 0; i < len; i++)
        if (one[i] != other[i]) return 0;
    return 1;
}

static inline dsm_bool dsm_same(dsm_bytes one, dsm_bytes other) {
    return one.len == other.len && dsm_equal(one.at, other.at, one.len);
}

/* An id: 32 bytes of the input. */
typedef const dsm_u8 *dsm_id;

static inline dsm_bool dsm_same_id(dsm_id one, dsm_id other) { return dsm_equal(one, other, 32); }

/* ---- The reader: every bound is checked; what is malformed is a fault. ---- */

typedef struct {
    const dsm_u8 *at;
    const dsm_u8 *end;
} dsm_reader;

static inline dsm_reader dsm_read_from(const void *bytes, dsm_u32 len) {
    return (dsm_reader){(const dsm_u8 *)bytes, (const dsm_u8 *)bytes + len};
}

static inline const dsm_u8 *dsm_take(dsm_reader *r, dsm_u32 len) {
    if ((dsm_u32)(r->end - r->at) < len) dsm_fault();
    const dsm_u8 *taken = r->at;
    r->at += len;
    return taken;
}

/* Nothing may be left over. */
static inline void dsm_read_end(const dsm_reader *r) {
    if (r->at != r->end) dsm_fault();
}

static inline dsm_u8 dsm_read_u8(dsm_reader *r) { return *dsm_take(r, 1); }

/* wasm32 is little-endian, as the layout is, and loads need no alignment. */
#define DSM_READ_NUMBER(name, type)                      \
    static inline type name(dsm_reader *r) {             \
        type number;                                     \
        __builtin_memcpy(&number, dsm_take(r, sizeof number), sizeof number); \
        return number;                                   \
    }
DSM_READ_NUMBER(dsm_read_u16, dsm_u16)
DSM_READ_NUMBER(dsm_read_u32, dsm_u32)
DSM_READ_NUMBER(dsm_read_u64, dsm_u64)
DSM_READ_NUMBER(dsm_read_u128, dsm_u128)
DSM_READ_NUMBER(dsm_read_i128, dsm_i128)

static inline dsm_bool dsm_read_bool(dsm_reader *r) {
    dsm_u8 byte = dsm_read_u8(r);
    if (byte > 1) dsm_fault();
    return byte;
}

static inline dsm_id dsm_read_id(dsm_reader *r) { return dsm_take(r, 32); }

/* A text or raw bytes: length, then content. */
static inline dsm_bytes dsm_read_bytes(dsm_reader *r) {
    dsm_u32 len = dsm_read_u32(r);
    return (dsm_bytes){dsm_take(r, len), len};
}

/* A list whose elements have been stepped over, and so checked: count them off and read them from items. */
typedef struct {
    dsm_u32 count;
    dsm_reader items;
} dsm_list;

#define DSM_READ_LIST(name, step)                                     \
    static inline dsm_list name(dsm_reader *r) {                      \
        dsm_u32 count = dsm_read_u32(r);                              \
        const dsm_u8 *start = r->at;                                  \
        for (dsm_u32 i = 0; i < count; i++) (void)step(r);            \
        return (dsm_list){count, (dsm_reader){start, r->at}};         \
    }

DSM_READ_LIST(dsm_read_ids, dsm_read_id)
DSM_READ_LIST(dsm_read_texts, dsm_read_bytes)

/* ---- Values: parameters, arguments, claims. ---- */

enum {
    DSM_BOOL = 0, DSM_U64 = 1, DSM_U128 = 2, DSM_I128 = 3, DSM_TEXT_VALUE = 4, DSM_BYTES = 5, DSM_DIGEST = 6,
    DSM_ACCOUNT = 7, DSM_TOKEN = 8, DSM_KEY = 9, DSM_ACCOUNTS = 10, DSM_KEYS = 11, DSM_TEXTS = 12,
};

typedef struct {
    dsm_u8 type; /* which of the fields below is set */
    dsm_bool boolean;
    dsm_u64 u64;
    dsm_u128 u128;
    dsm_i128 i128;
    dsm_bytes bytes; /* text and bytes */
    dsm_id id;       /* digest, account, token, key */
    dsm_list list;   /* accounts, keys, texts */
} dsm_value;

static dsm_value dsm_read_value(dsm_reader *r) {
    dsm_value value = {.type = dsm_read_u8(r)};
    switch (value.type) {
    case DSM_BOOL: value.boolean = dsm_read_bool(r); break;
    case DSM_U64: value.u64 = dsm_read_u64(r); break;
    case DSM_U128: value.u128 = dsm_read_u128(r); break;
    case DSM_I128: value.i128 = dsm_read_i128(r); break;
    case DSM_TEXT_VALUE:
    case DSM_BYTES: value.bytes = dsm_read_bytes(r); break;
    case DSM_DIGEST:
    case DSM_ACCOUNT:
    case DSM_TOKEN:
    case DSM_KEY: value.id = dsm_read_id(r); break;
    case DSM_ACCOUNTS:
    case DSM_KEYS: value.list = dsm_read_ids(r); break;
    case DSM_TEXTS: value.list = dsm_read_texts(r); break;
    default: dsm_fault();
    }
    return value;
}

DSM_READ_LIST(dsm_read_values, dsm_read_value)

typedef struct {
    dsm_bytes name;
    dsm_value value;
} dsm_field;

static dsm_field dsm_read_field(dsm_reader *r) {
    dsm_bytes name = dsm_read_bytes(r);
    return (dsm_field){name, dsm_read_value(r)};
}

DSM_READ_LIST(dsm_read_fields, dsm_read_field)

/* ---- What a policy is shown. ---- */

typedef struct {
    dsm_id id;
    dsm_u64 height;
    dsm_id issuer;
    dsm_u128 supply;
    dsm_bool has_cap;
    dsm_u128 cap;
    dsm_u8 decimals;
} dsm_token;

static dsm_token dsm_read_token(dsm_reader *r) {
    dsm_token token = {.id = dsm_read_id(r)};
    token.height = dsm_read_u64(r);
    token.issuer = dsm_read_id(r);
    token.supply = dsm_read_u128(r);
    token.has_cap = dsm_read_bool(r);
    if (token.has_cap) token.cap = dsm_read_u128(r);
    token.decimals = dsm_read_u8(r);
    return token;
}

enum { DSM_PLEDGE = 0, DSM_LIEN = 1, DSM_LOCK = 2, DSM_ESCROW = 3 };

typedef struct {
    dsm_id id, token, owner, beneficiary;
    dsm_u128 amount;
    dsm_u8 kind;
    dsm_bool expires;
    dsm_u64 expires_ms;
} dsm_hold;

static inline dsm_u8 dsm_read_tag(dsm_reader *r, dsm_u8 last) {
    dsm_u8 tag = dsm_read_u8(r);
    if (tag > last) dsm_fault();
    return tag;
}

static dsm_hold dsm_read_hold(dsm_reader *r) {
    dsm_hold hold = {.id = dsm_read_id(r)};
    hold.token = dsm_read_id(r);
    hold.owner = dsm_read_id(r);
    hold.beneficiary = dsm_read_id(r);
    hold.amount = dsm_read_u128(r);
    hold.kind = dsm_read_tag(r, DSM_ESCROW);
    hold.expires = dsm_read_bool(r);
    if (hold.expires) hold.expires_ms = dsm_read_u64(r);
    return hold;
}

DSM_READ_LIST(dsm_read_holds, dsm_read_hold)

enum {
    DSM_CREATE = 0, DSM_MINT = 1, DSM_BURN = 2, DSM_TRANSFER = 3, DSM_CLAIM = 4, DSM_HOLD = 5, DSM_RELEASE = 6,
    DSM_EXECUTE = 7, DSM_INVOKE = 8, DSM_OTHER = 9, DSM_UPGRADE = 10,
};

/* One operation; the comments name the actions that set a field. */
typedef struct {
    dsm_id token, actor;
    dsm_u8 action;
    dsm_id to;           /* mint, transfer; the beneficiary of a hold */
    dsm_id credit;       /* claim */
    dsm_id from;         /* claim; the policy that an upgrade replaces */
    dsm_u128 amount;     /* mint, burn, transfer, claim, hold */
    dsm_bool bilateral;  /* transfer */
    dsm_hold hold;       /* release, execute; kind and end of a new hold */
    dsm_u8 policy_index; /* invoke, upgrade */
    dsm_bytes method;    /* invoke */
    dsm_list args;       /* invoke: values */
} dsm_leg;

static dsm_leg dsm_read_leg(dsm_reader *r) {
    dsm_leg leg = {.token = dsm_read_id(r)};
    leg.actor = dsm_read_id(r);
    leg.action = dsm_read_tag(r, DSM_UPGRADE);
    switch (leg.action) {
    case DSM_MINT:
        leg.to = dsm_read_id(r);
        leg.amount = dsm_read_u128(r);
        break;
    case DSM_BURN: leg.amount = dsm_read_u128(r); break;
    case DSM_TRANSFER:
        leg.to = dsm_read_id(r);
        leg.amount = dsm_read_u128(r);
        leg.bilateral = dsm_read_bool(r);
        break;
    case DSM_CLAIM:
        leg.credit = dsm_read_id(r);
        leg.from = dsm_read_id(r);
        leg.amount = dsm_read_u128(r);
        break;
    case DSM_HOLD:
        leg.to = dsm_read_id(r);
        leg.amount = dsm_read_u128(r);
        leg.hold.kind = dsm_read_tag(r, DSM_ESCROW);
        leg.hold.expires = dsm_read_bool(r);
        if (leg.hold.expires) leg.hold.expires_ms = dsm_read_u64(r);
        break;
    case DSM_RELEASE:
    case DSM_EXECUTE: leg.hold = dsm_read_hold(r); break;
    case DSM_INVOKE:
        leg.policy_index = dsm_read_u8(r);
        leg.method = dsm_read_bytes(r);
        leg.args = dsm_read_values(r);
        break;
    case DSM_UPGRADE:
        leg.policy_index = dsm_read_u8(r);
        leg.from = dsm_read_id(r);
        break;
    default: break;
    }
    return leg;
}

DSM_READ_LIST(dsm_read_legs, dsm_read_leg)

typedef struct {
    dsm_id key;
    dsm_u8 role;
} dsm_signed_key;

static dsm_signed_key dsm_read_signed_key(dsm_reader *r) {
    dsm_id key = dsm_read_id(r);
    return (dsm_signed_key){key, dsm_read_u8(r)};
}

DSM_READ_LIST(dsm_read_signed_keys, dsm_read_signed_key)

typedef struct {
    dsm_id account;
    dsm_list keys; /* signed keys */
} dsm_signer;

static dsm_signer dsm_read_signer(dsm_reader *r) {
    dsm_id account = dsm_read_id(r);
    return (dsm_signer){account, dsm_read_signed_keys(r)};
}

DSM_READ_LIST(dsm_read_signers, dsm_read_signer)

typedef struct {
    dsm_id account;
    dsm_u128 balance, available;
    dsm_bool frozen;
    dsm_list holds;
} dsm_party;

static dsm_party dsm_read_party(dsm_reader *r) {
    dsm_party party = {.account = dsm_read_id(r)};
    party.balance = dsm_read_u128(r);
    party.available = dsm_read_u128(r);
    party.frozen = dsm_read_bool(r);
    party.holds = dsm_read_holds(r);
    return party;
}

DSM_READ_LIST(dsm_read_parties, dsm_read_party)

typedef struct {
    dsm_u8 read;
    dsm_id token, account;
    dsm_u128 balance, available;
} dsm_foreign_balance;

static dsm_foreign_balance dsm_read_foreign_balance(dsm_reader *r) {
    dsm_foreign_balance balance = {.read = dsm_read_u8(r)};
    balance.token = dsm_read_id(r);
    balance.account = dsm_read_id(r);
    balance.balance = dsm_read_u128(r);
    balance.available = dsm_read_u128(r);
    return balance;
}

DSM_READ_LIST(dsm_read_foreign_balances, dsm_read_foreign_balance)

enum { DSM_CREDENTIAL = 0, DSM_HASH_PREIMAGE = 1, DSM_ATTESTATION = 2, DSM_BRIDGE_PROOF = 3, DSM_ORACLE_ROUND = 4 };

/* What a key observed in a round of a feed. */
typedef struct {
    dsm_id account, key;
    dsm_u8 role;
    dsm_i128 answer;
    dsm_u64 observed_ms;
} dsm_observation;

static dsm_observation dsm_read_observation(dsm_reader *r) {
    dsm_observation observation = {.account = dsm_read_id(r)};
    observation.key = dsm_read_id(r);
    observation.role = dsm_read_u8(r);
    observation.answer = dsm_read_i128(r);
    observation.observed_ms = dsm_read_u64(r);
    return observation;
}

DSM_READ_LIST(dsm_read_observations, dsm_read_observation)

/* Verified evidence; the comments name the kinds that set a field. */
typedef struct {
    dsm_u8 kind;
    dsm_id account;            /* issuer of a credential, signer of an attestation, recipient of a bridge's lock */
    dsm_id subject;            /* credential */
    dsm_bytes text;            /* schema of a credential, topic of an attestation */
    dsm_id digest;             /* serial of a credential, digest of a preimage, commitment of a lock, id of a feed */
    dsm_u64 until_ms;          /* end of a credential, deadline of a lock */
    dsm_list items;            /* fields of a credential, observations of a round */
    dsm_u32 algorithm;         /* preimage */
    dsm_bytes payload;         /* the preimage, payload of an attestation */
    dsm_id key;                /* attestation */
    dsm_u8 role;               /* attestation */
    dsm_id bridge, token;      /* lock */
    dsm_u64 chain_id, nonce;   /* lock */
    dsm_u8 lock_kind, trust;   /* lock */
    const dsm_u8 *contract, *asset, *sender; /* lock: 20 bytes each */
    dsm_u128 amount;           /* lock */
    dsm_u64 height;            /* block of a lock, number of a round */
    dsm_u8 decimals;           /* round */
} dsm_evidence;

static dsm_evidence dsm_read_evidence(dsm_reader *r) {
    dsm_evidence e = {.kind = dsm_read_u8(r)};
    switch (e.kind) {
    case DSM_CREDENTIAL:
        e.account = dsm_read_id(r);
        e.subject = dsm_read_id(r);
        e.text = dsm_read_bytes(r);
        e.digest = dsm_read_id(r);
        e.until_ms = dsm_read_u64(r);
        e.items = dsm_read_fields(r);
        break;
    case DSM_HASH_PREIMAGE:
        e.algorithm = dsm_read_u32(r);
        e.digest = dsm_read_id(r);
        e.payload = dsm_read_bytes(r);
        break;
    case DSM_ATTESTATION:
        e.account = dsm_read_id(r);
        e.key = dsm_read_id(r);
        e.role = dsm_read_u8(r);
        e.text = dsm_read_bytes(r);
        e.payload = dsm_read_bytes(r);
        break;
    case DSM_BRIDGE_PROOF:
        e.bridge = dsm_read_id(r);
        e.chain_id = dsm_read_u64(r);
        e.contract = dsm_take(r, 20);
        e.nonce = dsm_read_u64(r);
        e.lock_kind = dsm_read_u8(r);
        e.asset = dsm_take(r, 20);
        e.sender = dsm_take(r, 20);
        e.token = dsm_read_id(r);
        e.account = dsm_read_id(r);
        e.amount = dsm_read_u128(r);
        e.until_ms = dsm_read_u64(r);
        e.digest = dsm_read_id(r);
        e.height = dsm_read_u64(r);
        e.trust = dsm_read_tag(r, 2);
        break;
    case DSM_ORACLE_ROUND:
        e.digest = dsm_read_id(r);
        e.height = dsm_read_u64(r);
        e.decimals = dsm_read_u8(r);
        e.items = dsm_read_observations(r);
        break;
    default: dsm_fault();
    }
    return e;
}

DSM_READ_LIST(dsm_read_all_evidence, dsm_read_evidence)

/* The argument of dsm_evaluate. */
typedef struct {
    dsm_u8 abi, policy_index, leg;
    dsm_u64 time_ms;
    dsm_id network;
    dsm_token token;
    dsm_list legs, signers, parties, params, evidence, foreign;
    dsm_leg judged; /* the leg at position leg */
} dsm_input;

static void dsm_read_input(dsm_input *input, const void *bytes, dsm_u32 len) {
    dsm_reader reader = dsm_read_from(bytes, len), *r = &reader;
    input->abi = dsm_read_u8(r);
    input->policy_index = dsm_read_u8(r);
    input->leg = dsm_read_u8(r);
    input->time_ms = dsm_read_u64(r);
    input->network = dsm_read_id(r);
    input->token = dsm_read_token(r);
    input->legs = dsm_read_legs(r);
    input->signers = dsm_read_signers(r);
    input->parties = dsm_read_parties(r);
    input->params = dsm_read_values(r);
    input->evidence = dsm_read_all_evidence(r);
    input->foreign = dsm_read_foreign_balances(r);
    dsm_read_end(r);
    if (input->leg >= input->legs.count) dsm_fault();
    dsm_reader legs = input->legs.items;
    for (dsm_u32 i = 0; i <= input->leg; i++) input->judged = dsm_read_leg(&legs);
}

/* The argument of dsm_view. */
typedef struct {
    dsm_u8 abi, policy_index;
    dsm_u64 time_ms;
    dsm_id network;
    dsm_token token;
    dsm_list params;
    dsm_bytes query;
    dsm_list args;
} dsm_view_input;

static void dsm_read_view_input(dsm_view_input *input, const void *bytes, dsm_u32 len) {
    dsm_reader reader = dsm_read_from(bytes, len), *r = &reader;
    input->abi = dsm_read_u8(r);
    input->policy_index = dsm_read_u8(r);
    input->time_ms = dsm_read_u64(r);
    input->network = dsm_read_id(r);
    input->token = dsm_read_token(r);
    input->params = dsm_read_values(r);
    input->query = dsm_read_bytes(r);
    input->args = dsm_read_values(r);
    dsm_read_end(r);
}

/* How many distinct keys of the list signed, whichever accounts they belong to. */
static dsm_u64 dsm_signed_by_keys(const dsm_input *input, dsm_list keys) {
    dsm_u64 count = 0;
    for (dsm_u32 i = 0; i < keys.count; i++) {
        dsm_id key = keys.items.at + 32 * i;
        dsm_bool earlier = 0, signed_by = 0;
        for (dsm_u32 j = 0; j < i; j++) earlier |= dsm_same_id(key, keys.items.at + 32 * j);
        dsm_reader signers = input->signers.items;
        for (dsm_u32 s = 0; s < input->signers.count && !earlier; s++) {
            dsm_signer signer = dsm_read_signer(&signers);
            for (dsm_u32 k = 0; k < signer.keys.count; k++)
                signed_by |= dsm_same_id(key, dsm_read_signed_key(&signer.keys.items).key);
        }
        count += signed_by;
    }
    return count;
}

/* ---- The writer: a buffer of fixed size; what does not fit is a fault. ---- */

typedef struct {
    dsm_u8 *start;
    dsm_u32 len, cap;
} dsm_writer;

/* A writer over bytes of its own. */
static inline dsm_writer dsm_writer_of(dsm_u32 cap) {
    return (dsm_writer){(dsm_u8 *)dsm_reserve(cap), 0, cap};
}

static inline dsm_u8 *dsm_room(dsm_writer *w, dsm_u32 len) {
    if (w->cap - w->len < len) dsm_fault();
    dsm_u8 *at = w->start + w->len;
    w->len += len;
    return at;
}

static inline void dsm_write_raw(dsm_writer *w, const void *bytes, dsm_u32 len) {
    __builtin_memcpy(dsm_room(w, len), bytes, len);
}

static inline void dsm_write_u8(dsm_writer *w, dsm_u8 number) { *dsm_room(w, 1) = number; }

#define DSM_WRITE_NUMBER(name, type)                             \
    static inline void name(dsm_writer *w, type number) {        \
        __builtin_memcpy(dsm_room(w, sizeof number), &number, sizeof number); \
    }
DSM_WRITE_NUMBER(dsm_write_u16, dsm_u16)
DSM_WRITE_NUMBER(dsm_write_u32, dsm_u32)
DSM_WRITE_NUMBER(dsm_write_u64, dsm_u64)
DSM_WRITE_NUMBER(dsm_write_u128, dsm_u128)

static inline void dsm_write_id(dsm_writer *w, dsm_id id) { dsm_write_raw(w, id, 32); }

static inline void dsm_write_bytes(dsm_writer *w, dsm_bytes bytes) {
    dsm_write_u32(w, bytes.len);
    dsm_write_raw(w, bytes.at, bytes.len);
}

static inline void dsm_write_list(dsm_writer *w, dsm_list list) {
    dsm_write_u32(w, list.count);
    dsm_write_raw(w, list.items.at, (dsm_u32)(list.items.end - list.items.at));
}

/* A value as it was read: its type, then itself. */
static void dsm_write_value(dsm_writer *w, const dsm_value *value) {
    dsm_write_u8(w, value->type);
    switch (value->type) {
    case DSM_BOOL: dsm_write_u8(w, value->boolean != 0); break;
    case DSM_U64: dsm_write_u64(w, value->u64); break;
    case DSM_U128: dsm_write_u128(w, value->u128); break;
    case DSM_I128: dsm_write_u128(w, (dsm_u128)value->i128); break;
    case DSM_TEXT_VALUE:
    case DSM_BYTES: dsm_write_bytes(w, value->bytes); break;
    case DSM_DIGEST:
    case DSM_ACCOUNT:
    case DSM_TOKEN:
    case DSM_KEY: dsm_write_id(w, value->id); break;
    case DSM_ACCOUNTS:
    case DSM_KEYS:
    case DSM_TEXTS: dsm_write_list(w, value->list); break;
    default: dsm_fault();
    }
}

/* Some bytes of a writer, as a length and a pointer for the host. */
static inline long long dsm_output(const dsm_writer *w) {
    return (long long)((dsm_u64)(dsm_u32)w->start << 32 | w->len);
}

/* ---- Sentences: pieces joined in a buffer and cut at a character, as the host demands. ---- */

typedef struct {
    dsm_u8 bytes[DSM_REASON_BYTES_MAX];
    dsm_u32 len;
    dsm_bool full;
} dsm_sentence;

static void dsm_say(dsm_sentence *sentence, dsm_bytes text) {
    dsm_u32 room = sentence->full ? 0 : DSM_REASON_BYTES_MAX - sentence->len;
    if (text.len > room) {
        sentence->full = 1;
        text.len = room;
        /* A byte 10xxxxxx continues a character: no cut before it. What came before is whole. */
        const dsm_u8 *cut = text.at + text.len;
        while (text.len && (*cut & 0xc0) == 0x80) {
            text.len--;
            cut--;
        }
    }
    __builtin_memcpy(sentence->bytes + sentence->len, text.at, text.len);
    sentence->len += text.len;
}

/* An amount in decimal digits, by long division of 32-bit parts: there is no division of 128 bits here. */
static void dsm_say_number(dsm_sentence *sentence, dsm_u128 number) {
    dsm_u8 digits[39];
    dsm_u32 parts[4], start = sizeof digits; /* the lowest part first, as it lies in memory */
    __builtin_memcpy(parts, &number, sizeof parts);
    do {
        dsm_u64 rest = 0;
        for (int i = 3; i >= 0; i--) {
            rest = rest << 32 | parts[i];
            parts[i] = (dsm_u32)(rest / 10);
            rest %= 10;
        }
        digits[--start] = (dsm_u8)('0' + rest);
    } while (parts[0] | parts[1] | parts[2] | parts[3]);
    dsm_say(sentence, (dsm_bytes){digits + start, sizeof digits - start});
}

static inline dsm_bytes dsm_said(const dsm_sentence *sentence) {
    return (dsm_bytes){sentence->bytes, sentence->len};
}

/* ---- Verdicts and answers. ---- */

/* Why a policy refuses. An empty reason stands for the text that the description has for the code. */
typedef struct {
    dsm_u16 code;
    dsm_sentence reason;
    dsm_bytes field;
    dsm_sentence hint;
} dsm_denial;

static void dsm_write_denial(dsm_writer *w, const dsm_denial *denial) {
    dsm_write_u16(w, denial->code);
    dsm_write_bytes(w, dsm_said(&denial->reason));
    dsm_write_bytes(w, denial->field);
    dsm_write_bytes(w, dsm_said(&denial->hint));
}

/* Effects on their way into an accepting verdict: the tag, then room for their number, then each. */
typedef struct {
    dsm_writer writer;
    dsm_u32 count;
} dsm_effects;

static inline dsm_effects dsm_accept(void) {
    dsm_effects effects = {dsm_writer_of(DSM_OUTPUT_BYTES_MAX), 0};
    dsm_write_u8(&effects.writer, 0);
    dsm_write_u32(&effects.writer, 0);
    return effects;
}

static inline long long dsm_accepted(dsm_effects *effects) {
    __builtin_memcpy(effects->writer.start + 1, &effects->count, 4);
    return dsm_output(&effects->writer);
}

static inline long long dsm_refused(const dsm_denial *denial) {
    dsm_writer w = dsm_writer_of(DSM_OUTPUT_BYTES_MAX);
    dsm_write_u8(&w, 1);
    dsm_write_denial(&w, denial);
    return dsm_output(&w);
}

static inline dsm_writer *dsm_effect(dsm_effects *effects, dsm_u8 tag) {
    if (++effects->count > DSM_EFFECTS_MAX) dsm_fault();
    dsm_write_u8(&effects->writer, tag);
    return &effects->writer;
}

static inline void dsm_set_state(dsm_effects *effects, dsm_bytes key, dsm_bytes value) {
    dsm_writer *w = dsm_effect(effects, 0);
    dsm_write_bytes(w, key);
    dsm_write_bytes(w, value);
}

static inline void dsm_delete_state(dsm_effects *effects, dsm_bytes key) {
    dsm_write_bytes(dsm_effect(effects, 1), key);
}

static inline void dsm_write_end_ms(dsm_writer *w, const dsm_u64 *expires_ms) {
    dsm_write_u8(w, expires_ms != 0);
    if (expires_ms) dsm_write_u64(w, *expires_ms);
}

/* expires_ms may be 0: no end. */
static inline void dsm_create_hold(dsm_effects *effects, dsm_id owner, dsm_id beneficiary, dsm_u128 amount, dsm_u8 kind, const dsm_u64 *expires_ms) {
    dsm_writer *w = dsm_effect(effects, 2);
    dsm_write_id(w, owner);
    dsm_write_id(w, beneficiary);
    dsm_write_u128(w, amount);
    dsm_write_u8(w, kind);
    dsm_write_end_ms(w, expires_ms);
}

static inline void dsm_extend_hold(dsm_effects *effects, dsm_id hold, const dsm_u64 *expires_ms) {
    dsm_writer *w = dsm_effect(effects, 3);
    dsm_write_id(w, hold);
    dsm_write_end_ms(w, expires_ms);
}

static inline void dsm_release_hold(dsm_effects *effects, dsm_id hold) { dsm_write_id(dsm_effect(effects, 4), hold); }

static inline void dsm_execute_hold(dsm_effects *effects, dsm_id hold) { dsm_write_id(dsm_effect(effects, 5), hold); }

static inline void dsm_event(dsm_effects *effects, dsm_bytes topic, dsm_bytes payload) {
    dsm_writer *w = dsm_effect(effects, 6);
    dsm_write_bytes(w, topic);
    dsm_write_bytes(w, payload);
}

static inline void dsm_freeze(dsm_effects *effects, dsm_id account) { dsm_write_id(dsm_effect(effects, 7), account); }

static inline void dsm_unfreeze(dsm_effects *effects, dsm_id account) { dsm_write_id(dsm_effect(effects, 8), account); }

static inline void dsm_request_mint(dsm_effects *effects, dsm_id to, dsm_u128 amount) {
    dsm_writer *w = dsm_effect(effects, 9);
    dsm_write_id(w, to);
    dsm_write_u128(w, amount);
}

static inline void dsm_request_burn(dsm_effects *effects, dsm_id from, dsm_u128 amount) {
    dsm_writer *w = dsm_effect(effects, 10);
    dsm_write_id(w, from);
    dsm_write_u128(w, amount);
}

static inline void dsm_request_transfer(dsm_effects *effects, dsm_id from, dsm_id to, dsm_u128 amount) {
    dsm_writer *w = dsm_effect(effects, 11);
    dsm_write_id(w, from);
    dsm_write_id(w, to);
    dsm_write_u128(w, amount);
}

static inline void dsm_emit(dsm_effects *effects, dsm_u32 lane, dsm_bytes payload) {
    dsm_writer *w = dsm_effect(effects, 12);
    dsm_write_u32(w, lane);
    dsm_write_bytes(w, payload);
}

/* The parameters are `count` values in the order of the policy's description, each written with dsm_write_value into a
 * writer of their own. From due_ms, in ms since the Unix epoch, anybody may put it in force. */
static inline void dsm_schedule_upgrade(dsm_effects *effects, dsm_u8 policy_index, dsm_id policy, dsm_u32 count, const dsm_writer *params, dsm_u64 due_ms) {
    dsm_writer *w = dsm_effect(effects, 13);
    dsm_write_u8(w, policy_index);
    dsm_write_id(w, policy);
    dsm_write_u32(w, count);
    dsm_write_raw(w, params->start, params->len);
    dsm_write_u64(w, due_ms);
}

static inline void dsm_cancel_upgrade(dsm_effects *effects, dsm_u8 policy_index) {
    dsm_write_u8(dsm_effect(effects, 14), policy_index);
}

/* An answer begins with dsm_answer(number of fields), then each field: its name and the value's type, then the value. */
static inline dsm_writer dsm_answer(dsm_u32 fields) {
    dsm_writer w = dsm_writer_of(DSM_OUTPUT_BYTES_MAX);
    dsm_write_u8(&w, 0);
    dsm_write_u32(&w, fields);
    return w;
}

static inline void dsm_answer_field(dsm_writer *w, dsm_bytes name, dsm_u8 type) {
    dsm_write_bytes(w, name);
    dsm_write_u8(w, type);
}

/* ---- The description: data in the module, written by dsm_describe. ---- */

typedef struct {
    const char *name;
    dsm_u8 type;
    const char *doc; /* 0 for an argument: arguments have no text */
} dsm_parameter;

typedef struct {
    const char *name;
    dsm_u32 arg_count;
    const dsm_parameter *args;
    const char *doc;
} dsm_method;

typedef struct {
    dsm_u16 code;
    const char *name, *text;
} dsm_denial_code;

typedef struct {
    const char *parameter; /* the parameter that holds the token */
    dsm_u8 policy_index;
} dsm_foreign_read;

typedef struct {
    const char *name, *version, *summary;
    dsm_u32 param_count, method_count, query_count, denial_count, evidence_count, foreign_read_count;
    const dsm_parameter *params;
    const dsm_method *methods, *queries;
    const dsm_denial_code *denials;
    const dsm_u8 *evidence;
    const dsm_foreign_read *foreign_reads;
} dsm_description;

/* A static array and its length: `.param_count = DSM_COUNT(params), .params = params`. */
#define DSM_COUNT(array) (sizeof(array) / sizeof(array)[0])

static inline dsm_bytes dsm_text_of(const char *text) {
    dsm_u32 len = 0;
    while (text[len]) len++;
    return (dsm_bytes){(const dsm_u8 *)text, len};
}

static inline void dsm_write_text(dsm_writer *w, const char *text) { dsm_write_bytes(w, dsm_text_of(text)); }

static void dsm_write_methods(dsm_writer *w, const dsm_method *methods, dsm_u32 count) {
    dsm_write_u32(w, count);
    for (dsm_u32 i = 0; i < count; i++) {
        dsm_write_text(w, methods[i].name);
        dsm_write_u32(w, methods[i].arg_count);
        for (dsm_u32 j = 0; j < methods[i].arg_count; j++) {
            dsm_write_text(w, methods[i].args[j].name);
            dsm_write_u8(w, methods[i].args[j].type);
        }
        dsm_write_text(w, methods[i].doc);
    }
}

static long long dsm_described(const dsm_description *about) {
    dsm_writer writer = dsm_writer_of(DSM_DESCRIPTION_BYTES_MAX), *w = &writer;
    dsm_write_u8(w, DSM_ABI_VERSION);
    dsm_write_text(w, about->name);
    dsm_write_text(w, about->version);
    dsm_write_text(w, about->summary);
    dsm_write_u32(w, about->param_count);
    for (dsm_u32 i = 0; i < about->param_count; i++) {
        dsm_write_text(w, about->params[i].name);
        dsm_write_u8(w, about->params[i].type);
        dsm_write_text(w, about->params[i].doc);
    }
    dsm_write_methods(w, about->methods, about->method_count);
    dsm_write_methods(w, about->queries, about->query_count);
    dsm_write_u32(w, about->denial_count);
    for (dsm_u32 i = 0; i < about->denial_count; i++) {
        dsm_write_u16(w, about->denials[i].code);
        dsm_write_text(w, about->denials[i].name);
        dsm_write_text(w, about->denials[i].text);
    }
    dsm_write_u32(w, about->evidence_count);
    dsm_write_raw(w, about->evidence, about->evidence_count);
    dsm_write_u32(w, about->foreign_read_count);
    for (dsm_u32 i = 0; i < about->foreign_read_count; i++) {
        dsm_write_u8(w, 1);
        dsm_write_text(w, about->foreign_reads[i].parameter);
        dsm_write_u8(w, about->foreign_reads[i].policy_index);
    }
    return dsm_output(w);
}

/* The denials that every standard policy has; put them first in a description. */
#define DSM_STANDARD_DENIALS                                                                                         \
    {1, "unsupported_action", "The policy has no rule that allows this action."},                                     \
        {2, "unknown_method", "The policy has no method of this name."},                                              \
        {3, "bad_arguments", "The arguments do not have the types that the policy describes."},                       \
        {4, "bad_parameters", "The token's parameters do not have the types that the policy describes."},             \
        {5, "arithmetic", "The amounts leave the range of base units."},                                              \
        {6, "unknown_query", "The policy has no query of this name."}

enum {
    DSM_UNSUPPORTED_ACTION = 1, DSM_UNKNOWN_METHOD = 2, DSM_BAD_ARGUMENTS = 3, DSM_BAD_PARAMETERS = 4,
    DSM_ARITHMETIC = 5, DSM_UNKNOWN_QUERY = 6,
};

/* The word for a type, as descriptions and errors have it. */
static dsm_bytes dsm_type_word(dsm_u8 type) {
    static const char *const words[] = {"bool", "u64", "u128", "i128", "text", "bytes", "digest", "account", "token",
                                        "key", "accounts", "keys", "texts"};
    if (type > DSM_TEXTS) dsm_fault();
    return dsm_text_of(words[type]);
}

/* ---- What a policy defines. ---- */

static const dsm_description dsm_about;

/* Judges the leg: 1 accepts with the effects, 0 refuses with the denial. */
static dsm_bool dsm_judge(const dsm_input *input, dsm_effects *effects, dsm_denial *denial);

/* Answers the query: 1 answers with what it wrote through *answer (begin with dsm_answer), 0 refuses. */
static dsm_bool dsm_query(const dsm_view_input *input, dsm_writer *answer, dsm_denial *denial);

/* ---- The exports. ---- */

static dsm_u8 *dsm_input_at;
static dsm_u32 dsm_input_cap;

__attribute__((export_name("dsm_buf"))) void *dsm_buf(int len) {
    if (len < 0 || len > DSM_INPUT_BYTES_MAX) return 0;
    dsm_input_cap = (dsm_u32)len;
    dsm_input_at = (dsm_u8 *)dsm_reserve(len ? (dsm_u32)len : 1);
    return dsm_input_at;
}

static inline const dsm_u8 *dsm_given(int len) {
    if (!dsm_input_at || (dsm_u32)len > dsm_input_cap) dsm_fault();
    return dsm_input_at;
}

/* A denial without a reason has the text of its code. */
static void dsm_complete(dsm_denial *denial) {
    for (dsm_u32 i = 0; i < dsm_about.denial_count && !denial->reason.len; i++)
        if (dsm_about.denials[i].code == denial->code) dsm_say(&denial->reason, dsm_text_of(dsm_about.denials[i].text));
}

__attribute__((export_name("dsm_evaluate"))) long long dsm_evaluate(int len) {
    static dsm_input input;
    static dsm_denial denial;
    dsm_read_input(&input, dsm_given(len), (dsm_u32)len);
    dsm_effects effects = dsm_accept();
    if (dsm_judge(&input, &effects, &denial)) return dsm_accepted(&effects);
    dsm_complete(&denial);
    return dsm_refused(&denial);
}

__attribute__((export_name("dsm_view"))) long long dsm_view(int len) {
    static dsm_view_input input;
    static dsm_denial denial;
    dsm_read_view_input(&input, dsm_given(len), (dsm_u32)len);
    dsm_writer answer = {0, 0, 0};
    if (dsm_query(&input, &answer, &denial)) return dsm_output(&answer);
    dsm_complete(&denial);
    return dsm_refused(&denial);
}

__attribute__((export_name("dsm_describe"))) long long dsm_describe(void) { return dsm_described(&dsm_about); }

#endif
