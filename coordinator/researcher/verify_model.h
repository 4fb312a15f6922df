#pragma once

// What a model, its record and the log prove together, from nothing but the federation's root key.
// No I/O.
//
// The record (crypto/model_record.h) holds, beside what it says about the model:
//   roster      the roster's file as a string: root -> who is coordinator, researcher, site
//   researcher  {name, nonce, signature}: over wire::PlanText with plan_sha256
//   secure      {transcript, threshold, sharers, survivors, signatures {site: hex}}: the session of
//   the model's round;
//               absent when the plan said that updates are sealed
//   preparation {model, base, transcript, ... as of secure}: the session that added up the sites'
//   table columns; from base, the first model, and their scales came model, with which round one
//   began. Absent when there was nothing to prepare
//   log         {number, head, countersignatures [{site, number, head, signature}]}: the audit log
//   before publication
//
// The log is one JSON document, keys sorted, indented by two spaces, a newline at its end:
//   {"federation", "entries": [{number, time (microseconds), actor, action, subject, details,
//   head}],
//    "countersignatures": [{site, number, head, signature}]}

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/ids.h"
#include "common/crypto/keys.h"

namespace consilium::researcher {

struct Check {
  // "roster", "record", "model", "plan", "contributions", "preparation", "participation",
  // "log head", "log", "lineage"
  std::string link;
  bool ok = false;
  std::string finding;  // what was proved, or what broke
};

struct Verification {
  std::vector<Check>
      checks;  // in the order of the proof; it ends at the first link that the others need
  std::string record_json;  // compact; empty until the record is proved
  bool ok() const;
  std::string Broken() const;  // the first link that broke and why; empty when none did
};

// `model`: the SHA-256 of the model's file. Never crashes on any bytes.
Verification VerifyModel(const crypto::Ed25519PublicKey& root, const ModelId& model,
                         std::string_view record_file, const std::optional<std::string>& log_file);

// The log by itself: its form, its chain, and the countersignatures of the sites of `roster_file`
// (signed by root), if it is given.
Verification VerifyLog(const crypto::Ed25519PublicKey& root, std::string_view log_file,
                       const std::optional<std::string>& roster_file);

}  // namespace consilium::researcher
