#pragma once

// What an agent has to do, one after another.

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "common/secagg/messages.h"
#include "common/wire/protocol.h"

namespace consilium::site_agent {

// An update in the outbox, of an earlier connection or process, goes to the coordinator.
struct SendSealed {
  AttemptKey key;
};
struct FetchPublished {
  RunId run;
  ModelId model;
};

// The site's own model is made of a global one that has come (personal_model.h). Gives way to all
// else that is to be done, and is gone on with afterwards.
struct Personalise {
  RunId run;
  std::uint32_t round = 0;  // that begins from the model; 0: the model was published
  ModelId model;
};

using Task = std::variant<wire::MakeInitialModel, wire::TrainRequest, wire::EvaluateRequest,
                          SendSealed, FetchPublished, wire::DescribeRequest, Personalise>;

const RunId& RunOf(const Task& task);
std::uint32_t RoundOf(const Task& task);  // 0 where none
// Of tasks whose result is a contribution.
std::optional<AttemptKey> AttemptOf(const Task& task);
// Of tasks whose result goes through a secure session.
std::optional<secagg::SessionKey> SessionOf(const Task& task);
// Whether both ask for the same work.
bool SameWork(const Task& a, const Task& b);
std::string Describe(const Task& task);  // for the log

// What became of a task that was carried out as far as it goes.
enum class TaskOutcome {
  kEnded,        // done, failed (and told so), or stopped
  kTryLater,     // the coordinator cannot be reached, or takes nothing now
  kAwaitsMasks,  // the other sites' shares of its secure session have not come
};

std::string_view Name(wire::EvaluationSplit split);  // "validation", "test"

}  // namespace consilium::site_agent
