#include "coordinator/researcher/verify_model.h"

#include <nlohmann/json.hpp>

#include "common/base/random.h"
#include "common/base/status.h"
#include "common/crypto/model_record.h"
#include "common/crypto/sha256.h"
#include "common/identity/roster.h"
#include "common/secagg/messages.h"
#include "common/wire/protocol.h"
#include "tests/catch.h"

namespace consilium::researcher {
namespace {

using nlohmann::json;

crypto::Ed25519KeyPair KeyOf(std::uint8_t seed) {
  const std::array<std::uint8_t, 32> bytes = {seed, 7};
  return crypto::Ed25519KeyPair::FromPrivate(bytes).value();
}

std::string SignatureHex(const crypto::Ed25519KeyPair& key, ByteView text) {
  return ToHex(crypto::Sign(key, text).value());
}

enum class Of { kImages, kTable };

// A federation of three sites that published one model after two rounds, of a table after the
// preparation, and everything that proves it.
class Published {
 public:
  explicit Published(Of data = Of::kImages) : data_(data) {
    roster_.federation = "lung-network";
    roster_.version = 2;
    AddMember("coordinator", identity::Role::kCoordinator, 2);
    AddMember("ada", identity::Role::kResearcher, 3);
    for (const auto& [site, seed] : kSites) AddMember(site, identity::Role::kSite, seed);
    roster_file_ = identity::SignRoster(root_, roster_).value().file;
    WriteLog();
    WriteRecord();
  }

  Verification Verify() const { return VerifyModel(root(), model_, record_, log_); }
  crypto::Ed25519PublicKey root() const { return root_.public_key; }
  const ModelId& model() const { return model_; }
  const std::string& record() const { return record_; }
  const std::string& log() const { return log_; }
  const std::string& roster_file() const { return roster_file_; }
  // The record with something else in it, signed by the coordinator all the same.
  std::string Resigned(const std::function<void(json&)>& change) const {
    json document = record_json_;
    change(document);
    return crypto::SignModelRecord(KeyOf(2), document.dump()).value();
  }

 private:
  static inline const std::map<std::string, std::uint8_t> kSites = {
      {"east", 10}, {"north", 11}, {"south", 12}};

  void AddMember(const std::string& name, identity::Role role, std::uint8_t seed) {
    roster_.members.push_back({name, role, KeyOf(seed).public_key, crypto::Sha256(name)});
    if (role == identity::Role::kCoordinator) roster_.members.back().sealing_key.emplace();
    std::sort(roster_.members.begin(), roster_.members.end(),
              [](const auto& a, const auto& b) { return a.name < b.name; });
  }

  void AddEntry(const std::string& actor, const std::string& action, const std::string& subject,
                const json& details) {
    const wire::LogEntry entry{
        entries_.size() + 1, Time(FromSeconds(entries_.size())), actor, action, subject,
        details.dump()};
    head_ = wire::ExtendedBy(head_, entry);
    entries_.push_back({{"number", entry.number},
                        {"time", entry.time.time_since_epoch().count()},
                        {"actor", actor},
                        {"action", action},
                        {"subject", subject},
                        {"details", entry.details},
                        {"head", head_.Hex()}});
  }

  json Session(const Digest& transcript) const {
    return {{"transcript", transcript.Hex()},
            {"threshold", 3},
            {"sharers", {"east", "north", "south"}},
            {"survivors", {"east", "north", "south"}}};
  }
  json SignedSession(const Digest& transcript) const {
    const std::set<SiteId> sites = {SiteId("east"), SiteId("north"), SiteId("south")};
    json session = Session(transcript);
    for (const auto& [site, seed] : kSites) {
      session["signatures"][site] =
          SignatureHex(KeyOf(seed), secagg::SurvivorsText(transcript, sites, sites));
    }
    return session;
  }

  // Another run, of the same rows, comes to the same model in a session of its own.
  void AddPreparation(const Digest& transcript) {
    for (const auto& [run, of] : {std::pair("chest-0001", transcript),
                                  std::pair("chest-0002", crypto::Sha256("another run's"))}) {
      json details = Session(of);
      details["run"] = run;
      details["base"] = seeded_.Hex();
      AddEntry("coordinator", "prepare", first_.Hex(), details);
    }
  }

  void WriteLog() {
    AddEntry("operator", "admit", "north", json::object());
    AddEntry("ada", "submit", "chest-0001", json::object());
    if (data_ == Of::kTable) AddPreparation(crypto::Sha256("P"));
    AddEntry("coordinator", "aggregate", middle_.Hex(), {{"base", first_.Hex()}});
    AddEntry("coordinator", "aggregate", model_.Hex(), {{"base", middle_.Hex()}});
    for (const auto& [site, seed] : kSites) {
      countersignatures_.push_back(
          {{"site", site},
           {"number", entries_.size()},
           {"head", head_.Hex()},
           {"signature",
            SignatureHex(KeyOf(seed), wire::LogHeadText("lung-network", entries_.size(), head_))}});
    }
    number_ = entries_.size();
    record_head_ = head_;
    AddEntry("coordinator", "publish", model_.Hex(), json::object());
    log_ = json{{"federation", "lung-network"},
                {"entries", entries_},
                {"countersignatures", countersignatures_}}
               .dump(2) +
           "\n";
  }

  void WriteRecord() {
    const wire::PlanNonce nonce = {1, 2, 3};
    const Digest plan = crypto::Sha256("the plan");
    record_json_ = {{"model", model_.Hex()},
                    {"parent", middle_.Hex()},
                    {"federation", "lung-network"},
                    {"run", "chest-0001"},
                    {"plan_sha256", plan.Hex()},
                    {"researcher",
                     {{"name", "ada"},
                      {"nonce", ToHex(nonce)},
                      {"signature", SignatureHex(KeyOf(3), wire::PlanText("lung-network", "ada",
                                                                          nonce, plan))}}},
                    {"secure", SignedSession(crypto::Sha256("T"))},
                    {"log",
                     {{"number", number_},
                      {"head", record_head_.Hex()},
                      {"countersignatures", countersignatures_}}},
                    {"roster", roster_file_}};
    if (data_ == Of::kTable) {
      json& preparation = record_json_["preparation"] = SignedSession(crypto::Sha256("P"));
      preparation["model"] = first_.Hex();
      preparation["base"] = seeded_.Hex();
    }
    record_ = crypto::SignModelRecord(KeyOf(2), record_json_.dump()).value();
  }

  const crypto::Ed25519KeyPair root_ = KeyOf(1);
  const Of data_;
  const ModelId seeded_ = crypto::Sha256("seeded"), first_ = crypto::Sha256("first"),
                middle_ = crypto::Sha256("middle"), model_ = crypto::Sha256("model");
  identity::Roster roster_;
  std::string roster_file_, record_, log_;
  json record_json_, entries_ = json::array(), countersignatures_ = json::array();
  Digest head_, record_head_;
  std::uint64_t number_ = 0;
};

TEST_CASE("A model, its record and the log prove each other from the root's key") {
  const Published p;
  const Verification verification = p.Verify();
  INFO(verification.Broken());
  CHECK(verification.ok());
  CHECK(verification.checks.size() == 8);
  CHECK_THAT(verification.checks.back().finding, ContainsText("2 rounds"));
  CHECK(VerifyModel(p.root(), p.model(), p.record(), std::nullopt).ok());
  CHECK(VerifyLog(p.root(), p.log(), p.roster_file()).ok());
}

TEST_CASE("The lineage of a table's model goes through the preparation that the sites signed") {
  const Published p(Of::kTable);
  const Verification verification = p.Verify();
  INFO(verification.Broken());
  CHECK(verification.ok());
  CHECK(verification.checks.size() == 9);
  CHECK_THAT(verification.checks.back().finding,
             ContainsText(StrCat(
                 "made in 2 rounds from model ", crypto::Sha256("seeded").Hex().substr(0, 12),
                 ", with which it began, and model ", crypto::Sha256("first").Hex().substr(0, 12),
                 " with the scales of 3 sites' tables")));
}

TEST_CASE("A lie about the preparation is found by what the sites signed and the log tells") {
  const Published p(Of::kTable);
  std::function<void(json&)> lie;
  std::string broken;
  SECTION("the record says nothing of it") {
    lie = [](json& preparation) { preparation = nullptr; };
    broken = "lineage: the log tells of another preparation of model";
  }
  SECTION("of another model") {
    lie = [](json& preparation) { preparation["model"] = std::string(64, '3'); };
    broken = "lineage: the log tells of another preparation of model";
  }
  SECTION("from another first model") {
    lie = [](json& preparation) { preparation["base"] = std::string(64, '3'); };
    broken = "lineage: the log tells of another preparation of model";
  }
  SECTION("of fewer sites than signed") {
    lie = [](json& preparation) { preparation["survivors"] = {"east", "north"}; };
    broken = "preparation: 2 sites of 3 with threshold 3 is no session";
  }
  SECTION("a site has not signed") {
    lie = [](json& preparation) { preparation["signatures"].erase("east"); };
    broken = "preparation: only 2 sites signed who contributed, 3 must";
  }
  SECTION("of another session") {
    lie = [](json& preparation) { preparation["transcript"] = std::string(64, '1'); };
    broken = "preparation: site east did not sign";
  }
  const std::string record = p.Resigned([&](json& r) { lie(r["preparation"]); });
  CHECK_THAT(VerifyModel(p.root(), p.model(), record, p.log()).Broken(), ContainsText(broken));
}

TEST_CASE("A preparation that no round began from is found") {
  const Published images, table(Of::kTable);
  const json preparation = json::parse(table.Verify().record_json)["preparation"];
  const std::string record = images.Resigned([&](json& r) { r["preparation"] = preparation; });
  CHECK_THAT(VerifyModel(images.root(), images.model(), record, images.log()).Broken(),
             ContainsText("lineage: the prepared model is not what its rounds began from"));
}

TEST_CASE("Any byte of the record changed is found") {
  const Published p;
  std::string record = p.record();
  for (char& byte : record) {
    byte = static_cast<char>(byte ^ 1);
    const Verification verification = VerifyModel(p.root(), p.model(), record, p.log());
    if (verification.ok()) FAIL_CHECK("at " << &byte - record.data());
    if (verification.Broken().empty()) FAIL_CHECK("unnamed at " << &byte - record.data());
    byte = static_cast<char>(byte ^ 1);
  }
  CHECK_FALSE(VerifyModel(p.root(), p.model(), record + " ", p.log()).ok());
  record.pop_back();
  CHECK_FALSE(VerifyModel(p.root(), p.model(), record, p.log()).ok());
}

TEST_CASE("Any byte of the log changed is found") {
  const Published p;
  std::string log = p.log();
  for (char& byte : log) {
    byte = static_cast<char>(byte ^ 1);
    const Verification verification = VerifyModel(p.root(), p.model(), p.record(), log);
    if (verification.ok()) FAIL_CHECK("at " << &byte - log.data());
    if (VerifyLog(p.root(), log, p.roster_file()).ok())
      FAIL_CHECK("alone at " << &byte - log.data());
    byte = static_cast<char>(byte ^ 1);
  }
  CHECK_FALSE(VerifyModel(p.root(), p.model(), p.record(), log + "\n").ok());
}

TEST_CASE("Any byte of the model changed is found") {
  const Published p;
  std::string model = "model";
  for (char& byte : model) {
    byte = static_cast<char>(byte ^ 1);
    const Verification verification =
        VerifyModel(p.root(), crypto::Sha256(model), p.record(), p.log());
    CHECK_THAT(verification.Broken(), ContainsText("model: the file is"));
    byte = static_cast<char>(byte ^ 1);
  }
}

TEST_CASE("Another root, another coordinator and a foreign roster prove nothing") {
  const Published p;
  CHECK_THAT(VerifyModel(KeyOf(99).public_key, p.model(), p.record(), p.log()).Broken(),
             ContainsText("roster"));
  const std::string by_other =
      crypto::SignModelRecord(KeyOf(3), json::parse(p.Verify().record_json).dump()).value();
  CHECK_THAT(VerifyModel(p.root(), p.model(), by_other, p.log()).Broken(), ContainsText("record"));
  CHECK_FALSE(VerifyModel(p.root(), p.model(), "", p.log()).ok());
  CHECK_FALSE(VerifyModel(p.root(), p.model(), "[1, {}]", p.log()).ok());
}

TEST_CASE("A coordinator that signs a lie is found by what others signed") {
  const Published p;
  const auto broken = [&](const std::function<void(json&)>& change) {
    return VerifyModel(p.root(), p.model(), p.Resigned(change), p.log()).Broken();
  };
  CHECK_THAT(broken([](json& r) { r["plan_sha256"] = std::string(64, '0'); }),
             ContainsText("plan: the plan is not signed"));
  CHECK_THAT(broken([](json& r) { r["researcher"]["name"] = "north"; }),
             ContainsText("no researcher of the roster"));
  CHECK_THAT(broken([](json& r) {
               r["secure"]["survivors"] = {"east", "north"};
             }),
             ContainsText("contributions"));
  CHECK_THAT(broken([](json& r) { r["secure"]["threshold"] = 1; }), ContainsText("contributions"));
  CHECK_THAT(broken([](json& r) { r["secure"]["signatures"].erase("east"); }),
             ContainsText("only 2 sites signed"));
  CHECK_THAT(broken([](json& r) { r["secure"]["transcript"] = std::string(64, '1'); }),
             ContainsText("did not sign"));
  CHECK_THAT(broken([](json& r) { r["log"]["number"] = 3; }), ContainsText("another head"));
  CHECK_THAT(broken([](json& r) { r["log"]["countersignatures"][0]["number"] = 1; }),
             ContainsText("log head: the countersignature of site east"));
  CHECK_THAT(broken([](json& r) { r["parent"] = std::string(64, '2'); }),
             ContainsText("another parent"));
  CHECK_THAT(broken([](json& r) { r["federation"] = "heart-network"; }),
             ContainsText("another federation"));
}

TEST_CASE("A history rewritten with a whole new chain does not fit the countersignatures") {
  const Published p;
  json log = json::parse(p.log());
  log["entries"][1]["subject"] = "chest-0002";
  Digest head;
  for (json& e : log["entries"]) {
    head = wire::ExtendedBy(head, {e["number"], Time(Duration(e["time"].get<std::int64_t>())),
                                   e["actor"], e["action"], e["subject"], e["details"]});
    e["head"] = head.Hex();
  }
  const std::string forged = log.dump(2) + "\n";
  CHECK_THAT(VerifyLog(p.root(), forged, p.roster_file()).Broken(),
             ContainsText("signed another history"));
  CHECK_THAT(VerifyModel(p.root(), p.model(), p.record(), forged).Broken(),
             ContainsText("another head than the record names"));
}

TEST_CASE("A log that goes on with sites that the record does not know still proves the model") {
  const Published p;
  json log = json::parse(p.log());
  const auto add = [&](const std::string& action, const std::string& subject) {
    const auto number = log["entries"].size() + 1;
    const wire::LogEntry entry{number, Time(FromSeconds(number)), "operator", action, subject,
                               "{}"};
    const Digest before = Digest::FromHex(log["entries"].back()["head"].get<std::string>()).value();
    log["entries"].push_back({{"number", number},
                              {"time", entry.time.time_since_epoch().count()},
                              {"actor", entry.actor},
                              {"action", action},
                              {"subject", subject},
                              {"details", "{}"},
                              {"head", wire::ExtendedBy(before, entry).Hex()}});
  };
  add("roster", "3");
  const Digest head = Digest::FromHex(log["entries"].back()["head"].get<std::string>()).value();
  const auto number = log["entries"].size();
  log["countersignatures"].push_back(
      {{"site", "west"},
       {"number", number},
       {"head", head.Hex()},
       {"signature", SignatureHex(KeyOf(13), wire::LogHeadText("lung-network", number, head))}});
  const auto verified = [&] {
    return VerifyModel(p.root(), p.model(), p.record(), log.dump(2) + "\n").Broken();
  };
  CHECK_THAT(verified(), ContainsText("the countersignature of site west is not its own"));
  add("admit", "west");
  CHECK(verified().empty());
}

json ParticipationOf(const std::vector<std::string>& counted, const json& lost,
                     const std::vector<std::string>& cohort, unsigned minimum = 3) {
  return {{"round", 1},         {"attempt", 1}, {"minimum", minimum},  {"cohort", cohort},
          {"counted", counted}, {"lost", lost}, {"evaluated", counted}};
}

TEST_CASE("What a record says of who took part must fit its rounds and its session") {
  const Published p;
  const std::vector<std::string> three = {"east", "north", "south"};
  const std::vector<std::string> four = {"east", "north", "south", "west"};
  const json west_lost = {{"west", "its connection was lost"}};
  json participation = ParticipationOf(three, west_lost, four);
  std::string broken;
  SECTION("a whole one") {}
  SECTION("a site of the cohort that is neither counted nor lost") {
    participation["lost"] = json::object();
    broken = "round 1: not every site of its cohort is either counted or lost";
  }
  SECTION("a site that is both") {
    participation["lost"]["east"] = "?";
    broken = "round 1: not every site of its cohort";
  }
  SECTION("fewer than the plan needs") {
    participation["minimum"] = 4;
    broken = "round 1: 3 sites were counted, and its plan needs 4: it is not complete";
  }
  SECTION("others than contributed") {
    participation = ParticipationOf({"east", "north", "west"}, {{"south", "?"}}, four);
    broken = "round 1: the sites that were counted are not those that contributed";
  }
  SECTION("another round") {
    participation["round"] = 2;
    broken = "round 2: the sites that were counted";
  }
  const std::string record = p.Resigned([&](json& document) {
    document["round"] = 1;
    document["rounds"] = json::array({{{"round", 1}, {"sites", three}}});
    document["participation"] = json::array({participation});
  });
  const Verification verification = VerifyModel(p.root(), p.model(), record, p.log());
  CHECK(verification.ok() == broken.empty());
  CHECK_THAT(verification.Broken(), ContainsText(broken.empty() ? "" : "participation: " + broken));
}

TEST_CASE("Who was counted in the model's round are those that signed who took part") {
  const Published p;
  const std::vector<std::string> two = {"east", "north"};
  const std::string record = p.Resigned([&](json& document) {
    document["round"] = 1;
    document["rounds"] = json::array({{{"round", 1}, {"sites", two}}});
    document["participation"] =
        json::array({ParticipationOf(two, json::object(), two, /*minimum=*/2)});
  });
  CHECK_THAT(VerifyModel(p.root(), p.model(), record, p.log()).Broken(),
             ContainsText("are not those that signed who took part"));
}

}  // namespace
}  // namespace consilium::researcher
