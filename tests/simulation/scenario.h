#pragma once

// A story about the protocol, line by line, played in a simulated federation in fair weather: what
// goes wrong is written down. tests/scenarios/*.txt hold them.
//
//   # a comment
//   sites a b c                          the federation's; all connect at the start
//   late c                               but this one, until `start c`
//   plan masked rounds 2                 or: plan sealed rounds 2 minimum 2 deadline 60 grace 10
//   segments 3                           of each upload (one unless it is said)
//   start                                everything; the plan is submitted
//   until MESSAGE [from SITE]            goes on until such a message was sent ("until shares")
//   until event WORDS                    ... until the ledger has such an event ("aggregated 1/1")
//   wait 20                              seconds
//   cut SITE [when WHAT]                 its connection breaks, at once or when it sends or gets
//                                        WHAT: a message, "upload" (in its middle), "download"
//   hold SITE / release SITE             nothing of it gets through / does again
//   kill MACHINE / power MACHINE         kill -9 / loss of power; "power all"
//   start MACHINE                        again
//   kill coordinator after EVENT         at the step that commits such an event
//   fill MACHINE / empty MACHINE         its disk
//   pause SITE / resume SITE             by its operator
//   revoke SITE
//   stop                                 the researcher stops the run
//   finish                               goes on until the run has ended
//   expect counted ROUND a b c           exactly these
//   expect trained SITE N                so many trainings in all
//   expect published / expect not published / expect failed / expect ended
//   expect waiting WORDS                 the run says that it waits, in these words among others
//   expect event WORDS / expect no event WORDS
//
// Invariants are checked all along.

#include <string_view>

#include "absl/status/status.h"
#include "tests/simulation/trace.h"

namespace consilium::simulation {

// kInvalidArgument: a line that means nothing; kFailedPrecondition: an expectation that was not
// met, or an invariant violated. Both with the line.
absl::Status PlayScenario(std::string_view text, Trace& trace);

}  // namespace consilium::simulation
