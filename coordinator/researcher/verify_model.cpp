#include "coordinator/researcher/verify_model.h"

#include <algorithm>
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "common/base/status.h"
#include "common/crypto/model_record.h"
#include "common/identity/roster.h"
#include "common/secagg/messages.h"
#include "common/wire/protocol.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;

// ---- reading what anybody may have written

std::string TextAt(const json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

std::uint64_t NumberAt(const json& object, const char* key) {
  if (!object.is_object()) return 0;
  const auto found = object.find(key);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

const json& At(const json& object, const char* key) {
  static const json kNothing;
  if (!object.is_object()) return kNothing;
  const auto found = object.find(key);
  return found == object.end() ? kNothing : *found;
}

template <class Array>
std::optional<Array> ArrayFrom(const std::string& hex) {
  const auto bytes = FromHex(hex);
  Array array;
  if (!bytes.ok() || bytes->size() != array.size()) return std::nullopt;
  std::copy(bytes->begin(), bytes->end(), array.begin());
  return array;
}

std::optional<Digest> DigestAt(const json& object, const char* key) {
  const auto digest = Digest::FromHex(TextAt(object, key));
  return digest.ok() ? std::optional<Digest>(*digest) : std::nullopt;
}

std::set<SiteId> SitesAt(const json& object, const char* key) {
  std::set<SiteId> sites;
  for (const json& site : At(object, key)) {
    if (site.is_string()) sites.emplace(site.get<std::string>());
  }
  return sites;
}

json Parse(std::string_view text) {
  return json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

bool Signed(const identity::RosterEntry& entry, ByteView text, const std::string& signature_hex) {
  const auto signature = ArrayFrom<crypto::Signature>(signature_hex);
  return signature && crypto::VerifySignature(entry.signing_key, text, *signature).ok();
}

const identity::RosterEntry* Site(const identity::Roster& roster, const std::string& name) {
  const identity::RosterEntry* entry = roster.Find(name);
  return entry != nullptr && entry->role == identity::Role::kSite ? entry : nullptr;
}

// ---- the links of the proof

Check PlanCheck(const json& record, const identity::Roster& roster) {
  const json& researcher = At(record, "researcher");
  const std::string name = TextAt(researcher, "name");
  const auto nonce = ArrayFrom<wire::PlanNonce>(TextAt(researcher, "nonce"));
  const auto plan = DigestAt(record, "plan_sha256");
  const identity::RosterEntry* entry = roster.Find(name);
  if (entry == nullptr || entry->role != identity::Role::kResearcher) {
    return {"plan", false, StrCat("\"", name, "\" is no researcher of the roster")};
  }
  if (!nonce || !plan ||
      !Signed(*entry, wire::PlanText(roster.federation, name, *nonce, *plan),
              TextAt(researcher, "signature"))) {
    return {"plan", false, StrCat("the plan is not signed by researcher ", name)};
  }
  return {"plan", true, StrCat("plan ", plan->Short(), " was ordered, once, by researcher ", name)};
}

// That the survivors of a session of secure aggregation signed who took part in it.
Check SessionCheck(const char* link, const json& secure, const identity::Roster& roster) {
  const auto transcript = DigestAt(secure, "transcript");
  const std::set<SiteId> sharers = SitesAt(secure, "sharers"),
                         survivors = SitesAt(secure, "survivors");
  const std::uint64_t threshold = NumberAt(secure, "threshold");
  if (!transcript || threshold < secagg::kFewestSites || survivors.size() < threshold ||
      !std::includes(sharers.begin(), sharers.end(), survivors.begin(), survivors.end())) {
    return {link, false,
            StrCat(survivors.size(), " sites of ", sharers.size(), " with threshold ", threshold,
                   " is no session of secure aggregation")};
  }
  const Bytes text = secagg::SurvivorsText(*transcript, sharers, survivors);
  std::size_t valid = 0;
  for (const auto& [site, signature] : At(secure, "signatures").items()) {
    const identity::RosterEntry* entry = Site(roster, site);
    if (entry == nullptr || !survivors.contains(SiteId(site)) || !signature.is_string() ||
        !Signed(*entry, text, signature.get<std::string>())) {
      return {link, false, StrCat("site ", site, " did not sign that these sites contributed")};
    }
    ++valid;
  }
  if (valid < threshold) {
    return {link, false,
            StrCat("only ", valid, " sites signed who contributed, ", threshold, " must")};
  }
  return {link, true,
          StrCat(valid, " of ", survivors.size(),
                 " contributing sites signed who took part; only their sum could be opened")};
}

Check ContributionsCheck(const json& record, const identity::Roster& roster) {
  const json& secure = At(record, "secure");
  if (!secure.is_null()) return SessionCheck("contributions", secure, roster);
  return {"contributions", true,
          "the plan said \"sealed\": the coordinator saw each site's update; which sites took "
          "part rests on its word"};
}

// What the record says of who took part must fit itself, its rounds and its session.
Check ParticipationCheck(const json& record) {
  std::map<std::uint64_t, std::set<SiteId>> contributed;
  for (const json& round : At(record, "rounds")) {
    contributed[NumberAt(round, "round")] = SitesAt(round, "sites");
  }
  std::size_t fewest = 0;
  for (const json& round : At(record, "participation")) {
    const std::uint64_t number = NumberAt(round, "round"), minimum = NumberAt(round, "minimum");
    const std::set<SiteId> cohort = SitesAt(round, "cohort"), counted = SitesAt(round, "counted");
    std::set<SiteId> all = counted;
    const json& lost = At(round, "lost");
    for (const auto& [site, why] : lost.items()) all.insert(SiteId(site));
    const auto refuse = [&](std::string_view why) {
      return Check{"participation", false, StrCat("round ", number, ": ", why)};
    };
    if (!lost.is_object() || all != cohort || counted.size() + lost.size() != cohort.size()) {
      return refuse("not every site of its cohort is either counted or lost");
    }
    if (minimum < 2 || counted.size() < minimum) {
      return refuse(StrCat(counted.size(), " sites were counted, and its plan needs ", minimum,
                           ": it is not complete"));
    }
    const auto named = contributed.find(number);
    if (named == contributed.end() || named->second != counted) {
      return refuse("the sites that were counted are not those that contributed");
    }
    contributed.erase(named);
    const bool of_model = number == NumberAt(record, "round");
    if (of_model && !At(record, "secure").is_null() &&
        counted != SitesAt(At(record, "secure"), "survivors")) {
      return refuse("the sites that were counted are not those that signed who took part");
    }
    fewest = fewest == 0 ? counted.size() : std::min(fewest, counted.size());
  }
  if (!contributed.empty()) {
    return {"participation", false,
            StrCat("it does not say who took part in round ", contributed.begin()->first)};
  }
  return {
      "participation", true,
      StrCat("in each of ", At(record, "participation").size(), " rounds every site of the ",
             "cohort is counted or lost with the reason, and ", fewest, " or more were counted")};
}

// The head that `signature` of the record or log is about, when its site signed it.
std::optional<std::pair<std::uint64_t, Digest>> Countersigned(const json& signature,
                                                              const identity::Roster& roster) {
  const identity::RosterEntry* entry = Site(roster, TextAt(signature, "site"));
  const auto head = DigestAt(signature, "head");
  const std::uint64_t number = NumberAt(signature, "number");
  if (entry == nullptr || !head) return std::nullopt;
  if (!Signed(*entry, wire::LogHeadText(roster.federation, number, *head),
              TextAt(signature, "signature"))) {
    return std::nullopt;
  }
  return std::pair(number, *head);
}

Check LogHeadCheck(const json& record, const identity::Roster& roster) {
  const json& log = At(record, "log");
  if (!DigestAt(log, "head")) return {"log head", false, "the record names no head of the log"};
  std::size_t signatures = 0;
  for (const json& signature : At(log, "countersignatures")) {
    if (!Countersigned(signature, roster)) {
      return {"log head", false,
              StrCat("the countersignature of site ", TextAt(signature, "site"),
                     " does not fit the head that it names")};
    }
    ++signatures;
  }
  return {"log head", true,
          StrCat("the record stands after entry ", NumberAt(log, "number"), " of the log; ",
                 signatures, " sites have countersigned the log")};
}

// ---- the log

struct Log {
  json document;
  std::vector<Digest> heads;  // [n]: after entry n; [0] zeros
  const json& entries() const { return document["entries"]; }
};

// The log with every head recomputed, or why it is broken.
absl::StatusOr<Log> ReadLog(std::string_view file) {
  Log log{Parse(file), {Digest{}}};
  if (!At(log.document, "entries").is_array() ||
      !At(log.document, "countersignatures").is_array() || log.document.size() != 3) {
    return absl::InvalidArgumentError("this is not a log");
  }
  for (const json& e : log.entries()) {
    const std::uint64_t number = log.heads.size();
    const wire::LogEntry entry{
        NumberAt(e, "number"), Time(Duration(static_cast<Duration::rep>(NumberAt(e, "time")))),
        TextAt(e, "actor"),    TextAt(e, "action"),
        TextAt(e, "subject"),  TextAt(e, "details")};
    const Digest head = wire::ExtendedBy(log.heads.back(), entry);
    const bool whole = e.is_object() && e.size() == 7 && At(e, "time").is_number_unsigned();
    if (!whole || entry.number != number || DigestAt(e, "head") != head) {
      return absl::DataLossError(
          StrCat("entry ", number, " is not what it was when it was written"));
    }
    log.heads.push_back(head);
  }
  // The same log has the same bytes: whitespace and unread fields are no place to hide a change.
  if (log.document.dump(2) + "\n" != file) {
    return absl::DataLossError("the file is not in the form in which logs are written");
  }
  return log;
}

// Whether the log tells of this site's admission after entry `number`: then it may have another key
// than in a roster of before, or stand in none.
bool AdmittedAfter(std::uint64_t number, const std::string& site, const Log& log) {
  return std::ranges::any_of(log.entries(), [&](const json& entry) {
    return NumberAt(entry, "number") > number && TextAt(entry, "action") == "admit" &&
           TextAt(entry, "subject") == site;
  });
}

// `roster`: as it was after entry `roster_number`.
absl::Status CheckCountersignatures(const json& list, const identity::Roster& roster,
                                    std::uint64_t roster_number, const Log& log) {
  for (const json& signature : list) {
    const auto signed_head = Countersigned(signature, roster);
    const std::string site = TextAt(signature, "site");
    if (!signed_head && AdmittedAfter(roster_number, site, log)) continue;
    if (!signed_head) {
      return absl::UnauthenticatedError(
          StrCat("the countersignature of site ", site, " is not its own"));
    }
    const auto& [number, head] = *signed_head;
    if (number >= log.heads.size() || log.heads[number] != head) {
      return absl::UnauthenticatedError(StrCat("site ", site,
                                               " signed another history: its head after entry ",
                                               number, " is not this log's"));
    }
  }
  return absl::OkStatus();
}

Check LogCheck(const json& record, const identity::Roster& roster, const absl::StatusOr<Log>& log) {
  if (!log.ok()) return {"log", false, std::string(log.status().message())};
  if (TextAt(log->document, "federation") != roster.federation) {
    return {"log", false, "it is of another federation"};
  }
  const std::uint64_t number = NumberAt(At(record, "log"), "number");
  if (number >= log->heads.size() || log->heads[number] != DigestAt(At(record, "log"), "head")) {
    return {"log", false,
            StrCat("after entry ", number, " it has another head than the record names")};
  }
  for (const json* list :
       {&At(At(record, "log"), "countersignatures"), &At(log->document, "countersignatures")}) {
    if (const auto status = CheckCountersignatures(*list, roster, number, *log); !status.ok()) {
      return {"log", false, std::string(status.message())};
    }
  }
  return {"log", true,
          StrCat("all ", log->heads.size() - 1, " entries are as they were written, and every ",
                 "countersignature fits them")};
}

// How a model was made of another, as the log tells it.
struct Making {
  bool prepared = false;  // it got the scales of the sites' tables; else it is of a round
  json details;           // "base", and who took part
};

// By the model made. Two runs may come to the same prepared model: then `run`'s.
std::map<std::string, Making> MakingsIn(const Log& log, const std::string& run) {
  std::map<std::string, Making> makings;
  for (const json& entry : log.entries()) {
    const std::string action = TextAt(entry, "action");
    if (action != "aggregate" && action != "prepare") continue;
    Making& making = makings[TextAt(entry, "subject")];
    if (making.prepared && TextAt(making.details, "run") == run) continue;
    making = {action == "prepare", Parse(TextAt(entry, "details"))};
  }
  return makings;
}

// The session of the record that made `model`, whose sites have signed, is what the log tells of.
bool IsTheSigned(const json& record, const std::string& model, const json& logged) {
  const json& preparation = At(record, "preparation");
  if (TextAt(preparation, "model") != model) return false;
  return std::ranges::all_of(std::array{"base", "transcript", "threshold", "sharers", "survivors"},
                             [&](const char* field) {
                               return !At(preparation, field).is_null() &&
                                      At(preparation, field) == At(logged, field);
                             });
}

// From the published model back, round by round, to the model that the run began with; of a plan
// with a table through the model that has its scales. (A run that began from an earlier run's model
// goes on through that run's rounds, for whose preparation that model's own record stands.)
Check LineageCheck(const json& record, const ModelId& model, const Log& log) {
  const std::string run = TextAt(record, "run");
  const std::map<std::string, Making> makings = MakingsIn(log, run);
  const auto made = makings.find(model.Hex());
  if (made == makings.end() || made->second.prepared) {
    return {"lineage", false, "no entry of the log tells of making this model"};
  }
  if (TextAt(made->second.details, "base") != TextAt(record, "parent")) {
    return {"lineage", false, "the log names another parent than the record"};
  }
  std::size_t steps = 0, rounds = 0;
  std::string at = model.Hex(), scales;
  for (auto i = made; i != makings.end() && steps <= makings.size(); i = makings.find(at)) {
    ++steps;
    const auto& [prepared, details] = i->second;
    if (!prepared) ++rounds;
    if (prepared && TextAt(details, "run") == run) {
      if (!IsTheSigned(record, at, details)) {
        return {"lineage", false,
                StrCat("the log tells of another preparation of model ", at.substr(0, 12),
                       " than the sites signed")};
      }
      scales = StrCat(", and model ", at.substr(0, 12), " with the scales of ",
                      SitesAt(details, "survivors").size(), " sites' tables");
    }
    at = TextAt(details, "base");
  }
  if (!At(record, "preparation").is_null() && scales.empty()) {
    return {"lineage", false, "the prepared model is not what its rounds began from"};
  }
  return {"lineage", true,
          StrCat("made in ", rounds, rounds == 1 ? " round" : " rounds", " from model ",
                 at.substr(0, 12), ", with which it began", scales)};
}

}  // namespace

bool Verification::ok() const {
  return !checks.empty() &&
         std::all_of(checks.begin(), checks.end(), [](const Check& check) { return check.ok; });
}

std::string Verification::Broken() const {
  for (const Check& check : checks) {
    if (!check.ok) return StrCat(check.link, ": ", check.finding);
  }
  return {};
}

Verification VerifyModel(const crypto::Ed25519PublicKey& root, const ModelId& model,
                         std::string_view record_file, const std::optional<std::string>& log_file) {
  Verification v;
  const auto roster =
      identity::VerifyRoster(root, TextAt(At(Parse(record_file), "record"), "roster"));
  if (!roster.ok()) {
    v.checks.push_back(
        {"roster", false,
         StrCat("the record holds no roster that the root signed: ", roster.status().message())});
    return v;
  }
  const identity::RosterEntry* coordinator = roster->roster.Coordinator();
  v.checks.push_back({"roster", coordinator != nullptr,
                      coordinator == nullptr
                          ? "it names no coordinator"
                          : StrCat("version ", roster->roster.version, " of federation ",
                                   roster->roster.federation, ", signed by the root")});
  if (coordinator == nullptr) return v;
  auto verified = crypto::VerifyModelRecord(coordinator->signing_key, record_file);
  v.checks.push_back({"record", verified.ok(),
                      verified.ok() ? StrCat("signed by coordinator ", coordinator->name)
                                    : StrCat(verified.status().message())});
  if (!verified.ok()) return v;
  v.record_json = std::move(verified->record_json);
  const json record = Parse(v.record_json);
  v.checks.push_back(
      {"model", verified->model == model,
       verified->model == model
           ? StrCat("the file is ", model.Short(), ", byte for byte the model of this record")
           : StrCat("the file is ", model.Short(), ", the record is of ", verified->model.Short(),
                    "; one of them was changed, fetch both again")});
  if (TextAt(record, "federation") != roster->roster.federation) {
    v.checks.push_back({"record", false, "it is of another federation than its roster"});
  }
  v.checks.push_back(PlanCheck(record, roster->roster));
  v.checks.push_back(ContributionsCheck(record, roster->roster));
  const json& preparation = At(record, "preparation");
  if (!preparation.is_null()) {
    v.checks.push_back(SessionCheck("preparation", preparation, roster->roster));
  }
  // Records of before version 0.3 do not say it.
  if (!At(record, "participation").is_null()) v.checks.push_back(ParticipationCheck(record));
  v.checks.push_back(LogHeadCheck(record, roster->roster));
  if (!log_file) return v;
  const absl::StatusOr<Log> log = ReadLog(*log_file);
  v.checks.push_back(LogCheck(record, roster->roster, log));
  if (log.ok()) v.checks.push_back(LineageCheck(record, verified->model, *log));
  return v;
}

Verification VerifyLog(const crypto::Ed25519PublicKey& root, std::string_view log_file,
                       const std::optional<std::string>& roster_file) {
  Verification v;
  const absl::StatusOr<Log> log = ReadLog(log_file);
  v.checks.push_back({"log", log.ok(),
                      log.ok() ? StrCat("all ", log->heads.size() - 1,
                                        " entries are as they were written; its head is ",
                                        log->heads.back().Short())
                               : StrCat(log.status().message())});
  if (!log.ok() || !roster_file) return v;
  const auto roster = identity::VerifyRoster(root, *roster_file);
  if (!roster.ok()) {
    v.checks.push_back({"roster", false, StrCat(roster.status().message())});
    return v;
  }
  if (TextAt(log->document, "federation") != roster->roster.federation) {
    v.checks.push_back({"log", false, "it is of another federation"});
  }
  const json& list = At(log->document, "countersignatures");
  const absl::Status fits = CheckCountersignatures(list, roster->roster, log->heads.size(), *log);
  v.checks.push_back({"countersignatures", fits.ok(),
                      fits.ok() ? StrCat(list.size(), " sites' countersignatures fit this log")
                                : StrCat(fits.message())});
  return v;
}

}  // namespace consilium::researcher
