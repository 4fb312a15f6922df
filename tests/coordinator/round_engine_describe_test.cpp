// Runs that describe, with real site sessions: what the sites' images are, added up unseen, and
// nothing of it kept that may not be shown.

#include "tests/catch.h"
#include "tests/coordinator/masked_rounds.h"

namespace consilium::coordinator {
namespace {

plan::Plan DescribePlan(const std::string& more = "") {
  const auto plan =
      plan::ParsePlan("[plan]\nname = \"describe\"\n[describe]\n" + more +
                      "[target]\nname = \"opacity\"\n[cohort]\nround_deadline_s = 600\n");
  REQUIRE(plan.ok());
  return *plan;
}

// `patients` of whom the first `of_magnetic_resonance` have an MR, the others a CT.
metrics::Description Patients(std::size_t patients, std::size_t of_magnetic_resonance) {
  metrics::DescriptionBuilder builder(true);
  for (std::size_t i = 0; i < patients; ++i) {
    const std::string name = std::to_string(i);
    builder.Add({.patient = name,
                 .modality = i < of_magnetic_resonance ? "MR" : "CT",
                 .sex = i % 2 == 0 ? "F" : "M",
                 .age_years = 50,
                 .manufacturer = "",
                 .view = "",
                 .rows = 512,
                 .columns = 512,
                 .label = static_cast<int>(i % 2)});
  }
  return builder.description();
}

struct Federation : SumsFederation {
  explicit Federation(std::size_t sites, const std::string& more = "")
      : SumsFederation(DescribePlan(more), sites) {
    for (const SiteId& name : this->sites()) site(name).description = Patients(20, 1);
  }
  StoreDescription Stored() const {
    const auto stored = All<StoreDescription>();
    REQUIRE(stored.size() == 1);
    return stored[0];
  }
};

metrics::ShownDescription SumOf(Federation& federation, const std::set<SiteId>& sites) {
  std::vector<std::uint64_t> sum(metrics::DescriptionSums());
  for (const SiteId& site : sites) {
    const auto ring = metrics::ToRing(federation.site(site).description);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += ring[i];
  }
  return metrics::Suppress(*metrics::DescriptionFromRing(sum, true), "opacity", 10);
}

TEST_CASE("three sites' images are described together, small counts suppressed, and the run ends") {
  Federation federation(3);
  federation.Start();
  federation.Run();
  CHECK(federation.violations().empty());
  CHECK_FALSE(federation.Ended().failed);
  CHECK(federation.Ended().outcome == "described by 3 sites together");
  const StoreDescription stored = federation.Stored();
  CHECK(stored.sites == federation.sites());
  CHECK(stored.shown == SumOf(federation, federation.sites()));
  CHECK(stored.shown.total.counts == metrics::RowCounts{60, 60});
  // Three patients with an MR: neither they nor what would give them away.
  for (const metrics::ShownRow& row : stored.shown.tables[0].rows) {
    CHECK(row.suppressed == (row.name == "MR" || row.name == "CT"));
  }
  CHECK(federation.Steps(true) == kSteps);
  CHECK(federation.Events(Kind::kDescribed).at(0).values.at("patients") == 60);
  // Nothing was trained, no model was asked for.
  CHECK(federation.All<OpenAttempt>().empty());
  CHECK(federation.All<Publish>().empty());
}

TEST_CASE("a site that accepts to describe says nothing of its own data") {
  Federation federation(3);
  federation.Start();
  federation.Run();
  for (const auto& accepted : federation.Events(Kind::kSiteAccepted)) {
    CHECK(accepted.values.empty());
    CHECK(accepted.text.empty());
  }
  for (const auto& [site, participant] : federation.state().participants) {
    CHECK(participant.train_patients == 0);
    CHECK(participant.train_examples == 0);
  }
}

TEST_CASE("the session of a description is bound to the question, and so to its target") {
  Federation federation(3);
  federation.Start();
  federation.Run();
  const auto config = federation.SentTo<wire::DescribeRequest>(kA).at(0).secure;
  CHECK(config.key.purpose == secagg::Purpose::kDescription);
  CHECK(config.model == wire::QuestionOf(federation.plan()));
  CHECK(config.sums == metrics::DescriptionSums());
  CHECK(config.values == 0);
  plan::Plan other = federation.plan();
  other.target.name = "fracture";
  CHECK(wire::QuestionOf(other) != config.model);
}

TEST_CASE("a site that declines is not asked, and its reason is told") {
  Federation federation(4);
  federation.site(kD).declines = "the site's policy does not let it tell";
  federation.Start();
  federation.Run();
  CHECK(federation.Stored().sites == std::set<SiteId>{kA, kB, kC});
  CHECK(federation.LastText(Kind::kSiteDeclined) == "the site's policy does not let it tell");
  CHECK(federation.SentTo<wire::DescribeRequest>(kD).empty());
  CHECK(federation.violations().empty());
}

TEST_CASE("when too many decline nothing is described") {
  Federation federation(3);
  federation.site(kC).declines = "no";
  federation.Start();
  federation.Run();
  CHECK(federation.Ended().failed);
  CHECK_THAT(federation.Ended().outcome, ContainsText("c: no"));
  CHECK(federation.All<StoreDescription>().empty());
}

TEST_CASE("one of four sites may drop out of a description at any step") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4);
  CAPTURE(kSteps[step]);
  Federation federation(4);
  federation.Silence(kD, step);
  federation.Start();
  federation.Run();
  federation.Disconnect(kD);
  federation.Wait(700);
  std::set<SiteId> counted = {kA, kB, kC};
  if (step > 2) counted.insert(kD);
  CHECK(federation.Stored().sites == counted);
  CHECK(federation.Stored().shown == SumOf(federation, counted));
  CHECK(federation.violations().empty());
}

TEST_CASE("a coordinator killed in any step of a description goes on to the same sum") {
  const std::size_t step = GENERATE(0, 1, 2, 3, 4);
  const bool lazy = GENERATE(false, true);
  CAPTURE(kSteps[step], lazy);
  Federation federation(3);
  federation.lazy_commits = lazy;
  federation.Silence(kC, step);
  federation.Start();
  federation.Run();
  federation.pass = nullptr;
  for (int i = 0; i < 3; ++i) {
    federation.Restart({});
  }
  for (const SiteId& site : federation.sites()) federation.Connect(site);
  federation.Run();
  CHECK(federation.Stored().shown == SumOf(federation, federation.sites()));
  CHECK_FALSE(federation.Ended().failed);
  CHECK(federation.violations().empty());
  for (const SiteId& site : federation.sites()) CHECK(federation.site(site).refusals().empty());
}

TEST_CASE("damaged records of a description that was being opened end it, and open nothing twice") {
  Federation federation(3);
  federation.Silence(kC, 4);
  federation.Start();
  federation.Run();
  REQUIRE(federation.state().opening);
  federation.damage = [](std::vector<WorkRecord>& records) {
    std::erase_if(records, [](const WorkRecord& record) {
      const auto* closed = std::get_if<WorkStepClosed>(&record);
      return closed != nullptr && closed->step == 3;
    });
  };
  federation.pass = nullptr;
  federation.Restart(federation.sites());
  federation.Run();
  CHECK(federation.Ended().failed);
  CHECK(federation.All<StoreDescription>().empty());
}

TEST_CASE("impossible counts are refused, and nothing of them is kept") {
  Federation federation(3);
  federation.site(kB).description.total.images = std::uint64_t{1} << 60;
  federation.Start();
  federation.Run();
  CHECK(federation.Ended().failed);
  CHECK_THAT(federation.Ended().outcome,
             ContainsText("what the sites' counts add up to is impossible, so one of them sent"));
  CHECK(federation.All<StoreDescription>().empty());
  CHECK(federation.Events(Kind::kDescribed).empty());
}

TEST_CASE("a description of too few patients says that, and no number") {
  Federation federation(3);
  for (const SiteId& site : federation.sites()) {
    federation.site(site).description = Patients(3, 1);
  }
  federation.Start();
  federation.Run();
  CHECK(federation.Stored().shown.total.suppressed);
  const auto described = federation.Events(Kind::kDescribed).at(0);
  CHECK_FALSE(described.values.contains("patients"));
  CHECK_FALSE(described.values.contains("images"));
  CHECK_FALSE(federation.Ended().failed);
}

TEST_CASE("a description that is stopped ends without one") {
  Federation federation(3);
  federation.Silence(kC, 2);
  federation.Start();
  federation.Run();
  federation.Do(StopRequested{"ada"});
  CHECK_FALSE(federation.Ended().failed);
  CHECK_THAT(federation.Ended().outcome, ContainsText("stop requested by ada; nothing was"));
  CHECK(federation.All<StoreDescription>().empty());
}

TEST_CASE("what the audit log keeps of a description is who, what and how, and no count") {
  Federation federation(3);
  federation.Start();
  federation.Run();
  const Audit found = federation.Audited("describe");
  CHECK(found.subject == "masked-0001");
  CHECK_THAT(found.details, ContainsText("\"sites\":[\"a\",\"b\",\"c\"]"));
  CHECK_THAT(found.details, ContainsText("\"target\":\"opacity\""));
  CHECK_THAT(found.details, ContainsText("\"transcript\":\""));
  CHECK_THAT(found.details, !ContainsText("patients"));
}

}  // namespace
}  // namespace consilium::coordinator
