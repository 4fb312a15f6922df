#include "coordinator/researcher/run_commands.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "absl/strings/str_format.h"
#include "absl/strings/str_replace.h"
#include "common/base/progress.h"
#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/plan/plan.h"
#include "coordinator/researcher/continual.h"
#include "coordinator/researcher/research_channel.h"
#include "coordinator/researcher/run_tree.h"
#include "coordinator/researcher/who_took_part.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;
using wire::RunEvent;
using wire::RunEventKind;

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintJson(const json& document) { Print(document.dump(2) + "\n"); }

std::string FingerprintOf(const identity::Identity& identity) {
  return identity::ReadableFingerprint(identity.name, identity.role, identity.signing.public_key,
                                       identity.tls_key);
}

absl::StatusOr<json> ParseAnswer(absl::StatusOr<std::string> answer) {
  RETURN_IF_ERROR(answer.status());
  json document = json::parse(*answer, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return absl::DataLossError("the coordinator's answer is not JSON");
  return document;
}

json EventAsJson(const RunEvent& event) {
  json document{{"sequence", event.sequence},
                {"time", ToRfc3339(event.time)},
                {"time_us", event.time.time_since_epoch().count()},
                {"kind", static_cast<int>(event.kind)}};
  if (event.round != 0) document["round"] = event.round;
  if (event.attempt != 0) document["attempt"] = event.attempt;
  if (!event.site.empty()) document["site"] = event.site.value;
  if (!event.text.empty()) document["text"] = event.text;
  if (!event.values.empty()) document["values"] = event.values;
  return document;
}

// Prints events as a tree; on a terminal a status line below it shows what sites are doing.
class TreePrinter {
 public:
  explicit TreePrinter(bool json) : json_(json), terminal_(!json && isatty(STDOUT_FILENO)) {}
  ~TreePrinter() { ClearStatus(); }

  void On(const RunEvent& event) {
    if (json_) return Print(EventAsJson(event).dump() + "\n");
    const std::string lines = tree_.On(event);
    ClearStatus();
    Print(lines);
    if (!terminal_) return;
    const std::string status = tree_.StatusLine();
    if (!status.empty()) {
      Print("\033[2m" + status.substr(0, 160) + "\033[0m");
      status_shown_ = true;
    }
  }

 private:
  void ClearStatus() {
    if (status_shown_) Print("\r\033[K");
    status_shown_ = false;
  }
  const bool json_, terminal_;
  bool status_shown_ = false;
  RunTree tree_;
};

// Sleeps, but ends at once on an interrupt.
void Pause(int milliseconds) {
  pollfd interrupt{InterruptDescriptor(), POLLIN, 0};
  poll(&interrupt, 1, milliseconds);
}

// A broken or overloaded connection, not an answer.
bool MayPass(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsInternal(status) || absl::IsUnknown(status) ||
         absl::IsCancelled(status) || absl::IsResourceExhausted(status);
}

absl::Status Watch(ResearchChannel& channel, const CommandOptions& options, const RunId& run) {
  TreePrinter printer(options.json);
  if (!options.json) Print(StrCat("run ", run.value, "  "));
  return FollowRun(channel, run, [&](const RunEvent& event) { printer.On(event); });
}

std::string TextOf(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || found->is_null()) return "-";
  return found->is_string() ? found->get<std::string>() : found->dump();
}

}  // namespace

absl::Status FollowRun(ResearchChannel& channel, const RunId& run,
                       const std::function<void(const RunEvent&)>& take) {
  std::uint64_t seen = 0;
  bool ended = false, failed = false;
  std::string outcome;
  const auto on_event = [&](const RunEvent& event) {
    seen = std::max(seen, event.sequence);
    take(event);
    if (event.kind == RunEventKind::kEnded) {
      ended = true;
      const auto found = event.values.find("failed");
      failed = found != event.values.end() && found->second != 0;
      outcome = event.text;
    }
    return !Interrupted();
  };
  int pause_ms = 250;
  while (!ended) {
    const std::uint64_t before = seen;
    const absl::Status status = channel.Watch(run, seen, on_event);
    if (ended) break;
    if (Interrupted())
      return absl::CancelledError(StrCat("stopped watching; run ", run.value, " goes on"));
    if (!status.ok() && !MayPass(status)) return status;
    if (!status.ok())
      std::fprintf(stderr, "%s; trying again\n", std::string(status.message()).c_str());
    if (seen != before) pause_ms = 250;
    Pause(pause_ms);
    pause_ms = std::min(pause_ms * 2, 10'000);
  }
  if (failed) return absl::AbortedError(StrCat("run ", run.value, " failed: ", outcome));
  return absl::OkStatus();
}

void EndWatchingAtInterrupt() {
  std::thread([] {
    pollfd interrupt{InterruptDescriptor(), POLLIN, 0};
    if (poll(&interrupt, 1, -1) > 0) {
      std::fprintf(stderr, "\nstopped watching; the run goes on\n");
      _exit(130);
    }
  }).detach();
}

absl::StatusOr<std::unique_ptr<ResearchChannel>> Channel(const CommandOptions& options) {
  ASSIGN_OR_RETURN(identity::Identity identity,
                   identity::LoadIdentity(options.state, options.passphrase));
  return std::make_unique<ResearchChannel>(std::move(identity));
}

absl::Status EnrolCommand(const CommandOptions& options, const std::string& coordinator,
                          const std::string& token, identity::Role role) {
  ASSIGN_OR_RETURN(const crypto::Passphrase passphrase,
                   crypto::FindPassphrase(options.passphrase, crypto::PassphraseFor::kNewKeys));
  ASSIGN_OR_RETURN(identity::Identity identity,
                   identity::Enrol(token, role, options.state, passphrase, coordinator));
  const std::string fingerprint = FingerprintOf(identity);
  if (options.json) {
    PrintJson({{"name", identity.name},
               {"role", std::string(Name(identity.role))},
               {"federation", identity.federation},
               {"coordinator", identity.coordinator},
               {"fingerprint", fingerprint}});
  } else {
    Print(StrCat("enrolled in ", identity.federation, " as ", Name(identity.role), " ",
                 identity.name, " at ", identity.coordinator, "\nfingerprint  ", fingerprint,
                 "\nnext: read the fingerprint to the federation's operator, who admits you with\n"
                 "      consilium federation admit ",
                 identity.name, "\n"));
  }
  return absl::OkStatus();
}

absl::Status FingerprintCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(identity::Identity identity,
                   identity::LoadIdentity(options.state, options.passphrase));
  if (options.json) {
    PrintJson({{"name", identity.name}, {"fingerprint", FingerprintOf(identity)}});
  } else {
    Print(FingerprintOf(identity) + "\n");
  }
  return absl::OkStatus();
}

namespace {
// Of a plan that begins with what was published, with a model of no bytes in its place.
absl::StatusOr<plan::Plan> ParseForCheck(const std::string& toml) {
  return plan::ParsePlan(WithInitial(toml, ModelId()));
}
}  // namespace

absl::Status PlanCheckCommand(const CommandOptions& options, const std::string& file) {
  ASSIGN_OR_RETURN(std::string toml, ReadTextFile(file, 256 * 1024));
  const auto plan = ParseForCheck(toml);
  if (!plan.ok()) {
    if (options.json) PrintJson({{"ok", false}, {"errors", std::string(plan.status().message())}});
    return plan.status();
  }
  if (options.json) {
    PrintJson({{"ok", true}, {"plan", plan->name}});
  } else {
    // What the model in its place would be called.
    const std::string nobody = StrCat("model ", ModelId().Short());
    Print(
        absl::StrReplaceAll(plan::Describe(*plan),
                            {{nobody, "the newest model that a run of this plan has published"}}));
  }
  return absl::OkStatus();
}

absl::Status SubmitCommand(const CommandOptions& options, const std::string& file, bool watch) {
  ASSIGN_OR_RETURN(std::string toml, ReadTextFile(file, 256 * 1024));
  ASSIGN_OR_RETURN(const plan::Plan plan, ParseForCheck(toml));
  ASSIGN_OR_RETURN(auto channel, Channel(options));
  if (BeginsWithPublished(toml)) {
    ASSIGN_OR_RETURN(const std::string models, channel->ListModels());
    ASSIGN_OR_RETURN(const ModelId initial, NewestPublished(models, plan.name));
    toml = WithInitial(toml, initial);
    std::fprintf(stderr, "goes on from model %s\n", initial.Short().c_str());
  }
  ASSIGN_OR_RETURN(RunId run, channel->Submit(toml));
  if (options.json) {
    Print(json{{"run", run.value}}.dump() + "\n");
  } else {
    Print(StrCat("submitted as ", run.value,
                 watch ? "\n" : StrCat("\nwatch it: consilium run watch ", run.value, "\n")));
  }
  if (!watch) return absl::OkStatus();
  EndWatchingAtInterrupt();
  return Watch(*channel, options, run);
}

absl::Status WatchCommand(const CommandOptions& options, const RunId& run) {
  ASSIGN_OR_RETURN(auto channel, Channel(options));
  EndWatchingAtInterrupt();
  return Watch(*channel, options, run);
}

absl::Status StopCommand(const CommandOptions& options, const RunId& run) {
  ASSIGN_OR_RETURN(auto channel, Channel(options));
  RETURN_IF_ERROR(channel->Stop(run));
  if (options.json) {
    PrintJson({{"run", run.value}, {"stopping", true}});
  } else {
    Print(
        StrCat("run ", run.value, " stops; its best model so far is still evaluated and gated\n"));
  }
  return absl::OkStatus();
}

absl::Status ListRunsCommand(const CommandOptions& options) {
  ASSIGN_OR_RETURN(auto channel, Channel(options));
  ASSIGN_OR_RETURN(json runs, ParseAnswer(channel->ListRuns()));
  if (options.json) {
    PrintJson(runs);
    return absl::OkStatus();
  }
  TextTable table({"run", "plan", "state", "submitted", "outcome"});
  for (const json& run : runs) {
    table.AddRow({TextOf(run, "run"), TextOf(run, "plan"), TextOf(run, "state"),
                  TextOf(run, "submitted"), TextOf(run, "outcome")});
  }
  Print(runs.empty() ? "no runs yet; submit one: consilium run submit PLAN.toml\n"
                     : table.ToString());
  return absl::OkStatus();
}

absl::Status ShowRunCommand(const CommandOptions& options, const RunId& run) {
  ASSIGN_OR_RETURN(auto channel, Channel(options));
  if (!options.json) {  // the whole tree so far, then stop
    ASSIGN_OR_RETURN(json document, ParseAnswer(channel->ShowRun(run)));
    RunTree tree;
    Print(StrCat("run ", run.value, "  "));
    std::uint64_t last = 0;
    for (const json& event : document.value("events", json::array()))
      last = std::max(last, event.value("sequence", last));
    const absl::Status status = channel->Watch(run, 0, [&](const RunEvent& event) {
      Print(tree.On(event));
      return event.sequence < last;
    });
    if (!status.ok() && !absl::IsCancelled(status)) return status;
    Print(WhoTookPart(document.dump()));
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(json document, ParseAnswer(channel->ShowRun(run)));
  PrintJson(document);
  return absl::OkStatus();
}

}  // namespace consilium::researcher
