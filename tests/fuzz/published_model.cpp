#include "tests/fuzz/published_model.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "common/crypto/model_record.h"
#include "common/crypto/sha256.h"
#include "common/identity/roster.h"
#include "common/secagg/messages.h"
#include "common/wire/protocol.h"
#include "tests/fuzz/fuzz.h"

namespace consilium::fuzz {
namespace {

using nlohmann::json;

constexpr std::string_view kFederation = "lung-network";
const std::vector<std::string> kSites = {"east", "north", "south"};

crypto::Ed25519KeyPair KeyOf(std::string_view name) {
  return *crypto::Ed25519KeyPair::FromPrivate(PrivateKeyOf(name));
}

std::string SignatureHex(std::string_view name, ByteView text) {
  return ToHex(*crypto::Sign(KeyOf(name), text));
}

identity::Roster MakeRoster() {
  identity::Roster roster{.federation = std::string(kFederation), .version = 2};
  const auto add = [&](const std::string& name, identity::Role role) {
    roster.members.push_back({name, role, KeyOf(name).public_key, crypto::Sha256(name)});
  };
  add("ada", identity::Role::kResearcher);
  add("coordinator", identity::Role::kCoordinator);
  roster.members.back().sealing_key.emplace();
  for (const std::string& site : kSites) add(site, identity::Role::kSite);
  return roster;
}

// The audit log's entries, as JSON, with the head after each.
struct LogWriter {
  json entries = json::array();
  Digest head;

  void Add(const std::string& actor, const std::string& action, const std::string& subject,
           const json& details) {
    const wire::LogEntry entry{
        entries.size() + 1, Time(FromSeconds(entries.size())), actor, action, subject,
        details.dump()};
    head = wire::ExtendedBy(head, entry);
    entries.push_back({{"number", entry.number},
                       {"time", entry.time.time_since_epoch().count()},
                       {"actor", actor},
                       {"action", action},
                       {"subject", subject},
                       {"details", entry.details},
                       {"head", head.Hex()}});
  }
  json Countersignatures() const {
    json all = json::array();
    for (const std::string& site : kSites) {
      const Bytes text = wire::LogHeadText(kFederation, entries.size(), head);
      all.push_back({{"site", site},
                     {"number", entries.size()},
                     {"head", head.Hex()},
                     {"signature", SignatureHex(site, text)}});
    }
    return all;
  }
};

json ResearcherJson(const Digest& plan) {
  const wire::PlanNonce nonce = {1, 2, 3};
  return {{"name", "ada"},
          {"nonce", ToHex(nonce)},
          {"signature", SignatureHex("ada", wire::PlanText(kFederation, "ada", nonce, plan))}};
}

json SecureJson() {
  const Digest transcript = crypto::Sha256("transcript");
  std::set<SiteId> sites;
  for (const std::string& site : kSites) sites.insert(SiteId(site));
  json signatures;
  for (const std::string& site : kSites) {
    signatures[site] = SignatureHex(site, secagg::SurvivorsText(transcript, sites, sites));
  }
  return {{"transcript", transcript.Hex()},
          {"threshold", 3},
          {"sharers", kSites},
          {"survivors", kSites},
          {"signatures", signatures}};
}

}  // namespace

PublishedModel PublishedModel::Make() {
  PublishedModel made{.root = KeyOf("root"), .coordinator = KeyOf("coordinator")};
  made.model = crypto::Sha256("model");
  const Digest first = crypto::Sha256("first"), plan = crypto::Sha256("plan");
  made.roster = identity::SignRoster(made.root, MakeRoster())->file;
  LogWriter log;
  log.Add("ada", "submit", "chest-0001", json::object());
  log.Add("coordinator", "aggregate", made.model.Hex(), {{"base", first.Hex()}});
  const json countersignatures = log.Countersignatures();
  const json record = {{"model", made.model.Hex()},
                       {"parent", first.Hex()},
                       {"federation", kFederation},
                       {"run", "chest-0001"},
                       {"plan_sha256", plan.Hex()},
                       {"researcher", ResearcherJson(plan)},
                       {"secure", SecureJson()},
                       {"log",
                        {{"number", log.entries.size()},
                         {"head", log.head.Hex()},
                         {"countersignatures", countersignatures}}},
                       {"roster", made.roster}};
  log.Add("coordinator", "publish", made.model.Hex(), json::object());
  made.record_json = record.dump();
  made.record = *crypto::SignModelRecord(made.coordinator, made.record_json);
  made.log = json{{"federation", kFederation},
                  {"entries", log.entries},
                  {"countersignatures", countersignatures}}
                 .dump(2) +
             "\n";
  return made;
}

}  // namespace consilium::fuzz
