#include "coordinator/researcher/describe_command.h"

#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "common/base/status.h"
#include "common/base/text_table.h"
#include "common/metrics/shown_description.h"
#include "common/plan/plan.h"
#include "common/report/description_page.h"
#include "coordinator/researcher/research_channel.h"
#include "coordinator/researcher/run_tree.h"

namespace consilium::researcher {
namespace {

using Json = nlohmann::ordered_json;

// A text of TOML. ParsePlan checks what is in it.
std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

struct Described {
  Json participants = Json::array(), sites;
  metrics::ShownDescription shown;
  std::string researcher;
};

absl::StatusOr<Described> ReadRun(const RunId& run, const std::string& text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return absl::DataLossError("the coordinator's answer is not JSON");
  if (!json.contains("description")) {
    return absl::FailedPreconditionError(StrCat(
        "run ", run.value, " has described nothing: ",
        json.contains("outcome") && json["outcome"].is_string() ? json["outcome"].get<std::string>()
                                                                : std::string("it has not ended")));
  }
  try {
    Described described;
    described.researcher = json.at("researcher").get<std::string>();
    for (const Json& participant : json.at("participants")) {
      described.participants.push_back({{"site", participant.at("site").get<std::string>()},
                                        {"answer", participant.at("invite").get<std::string>()},
                                        {"reason", participant.at("reason").get<std::string>()}});
    }
    described.sites = json.at("description").at("sites").get<std::vector<std::string>>();
    ASSIGN_OR_RETURN(described.shown,
                     metrics::ShownDescriptionFromJson(json.at("description").at("shown").dump()));
    return described;
  } catch (const Json::exception& error) {
    return absl::DataLossError(StrCat("the coordinator's answer lacks something: ", error.what()));
  }
}

bool Counted(const Described& described, const std::string& site) {
  return std::find(described.sites.begin(), described.sites.end(), site) != described.sites.end();
}

std::string WhoIsCounted(const Described& described) {
  TextTable table({"site", "answer", "counted"});
  for (const Json& participant : described.participants) {
    const auto site = participant["site"].get<std::string>();
    const auto reason = participant["reason"].get<std::string>();
    table.AddRow(
        {site, StrCat(participant["answer"].get<std::string>(), reason.empty() ? "" : ": ", reason),
         Counted(described, site) ? "yes" : "no"});
  }
  return table.ToString();
}

std::string PageOf(const RunId& run, const Described& described) {
  std::string sites, others;
  for (const Json& participant : described.participants) {
    const auto site = participant["site"].get<std::string>();
    std::string& list = Counted(described, site) ? sites : others;
    StrAppend(&list, list.empty() ? "" : ", ", site);
    if (&list == &others) {
      const auto reason = participant["reason"].get<std::string>();
      StrAppend(&list, " (", reason.empty() ? participant["answer"].get<std::string>() : reason,
                ")");
    }
  }
  std::vector<std::string> notes = {StrCat("Run ", run.value, " of ", described.researcher,
                                           ". Counted together, and only "
                                           "together: ",
                                           sites, ".")};
  if (!others.empty()) notes.push_back(StrCat("Not counted: ", others, "."));
  return report::DescriptionPage(described.shown, "What the images of these sites are", notes);
}

absl::Status Report(const CommandOptions& options, const DescribeOptions& describe,
                    const RunId& run, const Described& described) {
  if (!describe.html.empty()) {
    RETURN_IF_ERROR(WriteFileDurably(describe.html, PageOf(run, described), 0644));
  }
  std::string text;
  if (options.json) {
    const Json json = {{"run", run.value},
                       {"sites", described.sites},
                       {"participants", described.participants},
                       {"shown", Json::parse(metrics::ToJson(described.shown))}};
    text = json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  } else {
    text = StrCat("run ", run.value, "\n", WhoIsCounted(described), "\n",
                  metrics::ToText(described.shown, isatty(STDOUT_FILENO) != 0));
  }
  std::fwrite(text.data(), 1, text.size(), stdout);
  return absl::OkStatus();
}

}  // namespace

std::string DescribePlan(const DescribeOptions& describe) {
  std::string toml = StrCat("[plan]\nname = \"describe\"\n\n[describe]\nsmallest_count = ",
                            describe.smallest_count, "\n");
  if (!describe.target.empty()) {
    StrAppend(&toml, "\n[target]\nname = ", Quoted(describe.target), "\n");
  }
  StrAppend(&toml, "\n[cohort]\nminimum_sites = ", describe.minimum_sites, "\n");
  if (!describe.sites.empty()) {
    std::string names;
    for (const std::string& site : describe.sites) {
      StrAppend(&names, names.empty() ? "" : ", ", Quoted(site));
    }
    StrAppend(&toml, "sites = [", names, "]\n");
  }
  return toml;
}

absl::Status DescribeCommand(const CommandOptions& options, const DescribeOptions& describe) {
  RunId run = describe.run;
  const std::string toml = DescribePlan(describe);
  if (run.empty()) RETURN_IF_ERROR(plan::ParsePlan(toml).status());
  ASSIGN_OR_RETURN(auto channel, Channel(options));
  if (run.empty()) {
    ASSIGN_OR_RETURN(run, channel->Submit(toml));
    EndWatchingAtInterrupt();
    RunTree tree;
    std::fprintf(stderr, "run %s  ", run.value.c_str());
    RETURN_IF_ERROR(FollowRun(*channel, run, [&](const wire::RunEvent& event) {
      std::fputs(tree.On(event).c_str(), stderr);
    }));
  }
  ASSIGN_OR_RETURN(const std::string document, channel->ShowRun(run));
  ASSIGN_OR_RETURN(const Described described, ReadRun(run, document));
  return Report(options, describe, run, described);
}

}  // namespace consilium::researcher
