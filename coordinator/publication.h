#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "coordinator/ledger.h"

namespace consilium::coordinator {

// The signed record of the model that `actions` publish (common/crypto/model_record.h): model,
// parent, federation, run, round, plan with the researcher's signature, the sites that contributed
// to each round, the secure session that the model came out of with its survivors' signatures, the
// pooled results on the sites' test sets, the gate's conditions, privacy, the head of the log with
// the sites' countersignatures, the roster's file, program version, time, signing key. What a
// reader can prove from it: coordinator/researcher/verify_model.h.
// `actions` are the step that publishes, of `state`'s run, not yet committed.
absl::StatusOr<Publication> MakePublication(Ledger& ledger, const RunState& state,
                                            std::span<const Action> actions, const Publish& publish,
                                            const crypto::Ed25519KeyPair& signing_key, Time now);

}  // namespace consilium::coordinator
