#pragma once

// Several agents and a coordinator that speaks secure aggregation for real with them, driven step
// by step.

#include <memory>
#include <string>
#include <vector>

#include "common/secagg/coordinator_session.h"
#include "tests/site_agent/test_site.h"

namespace consilium::site_agent {

inline const RunId kRun("small-0001");

// Started agents that have accepted the plan. Site i trains by adding 0.1 (i + 1) to every weight.
struct Hospitals {
  enum class Driven { kByThreads, kByTheTest };
  explicit Hospitals(const std::vector<std::string>& names = {"north", "south", "west"},
                     const std::string& plan = kPlan, Driven driven = Driven::kByThreads);
  TestSite& operator[](std::size_t i) { return *sites[i]; }
  TestSite& operator[](const SiteId& name);
  ModelId AddModel(const ModelState& model);  // to every coordinator's end of the line

  TestFederation federation;
  std::vector<std::unique_ptr<TestSite>> sites;
};

class SecureRound {
 public:
  SecureRound(Hospitals& hospitals, secagg::SessionConfig config);
  // What the engine would send.
  static secagg::SessionConfig Training(Hospitals& hospitals, const AttemptKey& key,
                                        const ModelId& base);
  static secagg::SessionConfig Evaluation(Hospitals& hospitals, const secagg::SessionKey& key,
                                          const ModelId& model);

  static secagg::SessionConfig Description(Hospitals& hospitals, const RunId& run,
                                           const plan::Plan& plan);
  static secagg::SessionConfig Preparation(Hospitals& hospitals, const RunId& run,
                                           const plan::Plan& plan, std::uint32_t attempt = 1);

  wire::ToSite Request() const;
  void Ask(TestSite& site) { site.coordinator.Send(Request()); }

  // Each runs one step to its end; `without` is lost before it closes.
  void Advertise(const std::string& without = "");
  void Share(const std::string& without = "");
  void Upload(const std::string& without = "");
  void Agree(const std::string& without = "");
  void Unmask(const std::string& without = "");
  // All of them, and Open().
  void Run();

  // The notice of a step, as it goes to a site.
  wire::SecureNotice MembersNotice() const;
  wire::SecureNotice SharesNotice(const SiteId& site) const;
  wire::SecureNotice SurvivorsNotice() const;
  wire::SecureNotice SignaturesNotice() const;

  // Once opened: the mean of the survivors' updates, by kWeight each; and the sums in the clear.
  std::vector<double> Mean();
  const std::vector<std::uint64_t>& Sums();

  std::optional<ModelId> last_published;
  secagg::CoordinatorSession session;

 private:
  bool Training() const { return session.config().key.purpose == secagg::Purpose::kTraining; }
  void Close(const std::string& without);
  void Open();

  Hospitals& hospitals_;
  std::map<SiteId, std::vector<std::uint64_t>> masked_sums_;
  bool opened_ = false;
  std::vector<std::uint32_t> values_;
  std::vector<std::uint64_t> sums_;
};

// The next answer of this kind; others before it are dropped.
template <class T>
T AnswerOf(TestSite& site) {
  while (true) {
    const auto message = site.coordinator.Await<wire::SecureAnswer>();
    if (const T* answer = std::get_if<T>(&message.answer)) return *answer;
  }
}

}  // namespace consilium::site_agent
