#pragma once

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/clock.h"
#include "common/crypto/keys.h"
#include "coordinator/ledger.h"

namespace consilium::coordinator {

// The signed record of the model that `actions` publish (common/crypto/model_record.h): model,
// parent, federation, run, round, plan, the sites that contributed to each round, the pooled
// results on the sites' test sets, the gate's conditions, program version, time, signing key.
// `actions` are the step that publishes, of `state`'s run, not yet committed.
absl::StatusOr<Publication> MakePublication(Ledger& ledger, const RunState& state,
                                            std::span<const Action> actions, const Publish& publish,
                                            const crypto::Ed25519KeyPair& signing_key, Time now);

}  // namespace consilium::coordinator
