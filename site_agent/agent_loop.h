#pragma once

#include <stop_token>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "site_agent/agent.h"
#include "site_agent/coordinator_channel.h"

namespace consilium::site_agent {

// Drives the agent with three threads, in real time: one holds the standing connection, one carries
// out tasks, so that the connection stays responsive while the site trains, and one watches what
// the operator wants. A connection that ends is made again after a wait that doubles from
// options.first_wait to options.longest_wait, drawn at random, so that sites do not come back in
// step.
//
// Works until `stop` is requested (OK), one run has ended with options.once (OK), or going on needs
// a person (the agent's Take()). A coordinator that is away, or has not admitted this site yet, is
// waited for. Once for an agent.
absl::Status RunAgent(Agent& agent, CoordinatorChannel& channel, const Clock& clock,
                      const AgentOptions& options, std::stop_token stop);

}  // namespace consilium::site_agent
