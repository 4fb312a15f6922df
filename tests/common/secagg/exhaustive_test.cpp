// Every course that a session of four sites with threshold three can take, when at every step each
// site answers, answers only after the step is closed, crashes before or after its state is saved
// and comes back to answer, or is never heard of again.
//
// Breadth first over the five steps. A state is what the coordinator shows, what every site has in
// memory and on disk, and in which step each site last came back (what Save() forgets would not
// show in the bytes); equal states are gone on from once. Each course is played from the beginning.
//
// CONSILIUM_RESTARTS bounds the restarts in one course; 20 is all of them.

#include <cstdlib>
#include <deque>
#include <iostream>
#include <unordered_set>

#include "common/base/text_table.h"
#include "common/crypto/sha256.h"
#include "tests/catch.h"
#include "tests/common/secagg/memoised_crypto.h"
#include "tests/common/secagg/session_scene.h"

namespace consilium::secagg {
namespace {

using Step = CoordinatorSession::Step;
constexpr std::size_t kSites = 4, kSteps = 5;
constexpr std::uint32_t kThreshold = 3;

// In unmasking a site dies before its record is committed and answers when it is back, or after,
// and never answers: its state saved or not.
enum Fate : std::uint8_t {
  kAnswers,
  kRestartsUncommitted,
  kRestartsUnsaved,
  kRestartsSaved,
  kIsLate,
  kIsLost,
  kFates
};
constexpr const char* kFateNames[] = {
    "answers", "restarts uncommitted", "restarts unsaved", "restarts saved", "is late", "is lost"};
bool Restarts(Fate fate) { return fate >= kRestartsUncommitted && fate <= kRestartsSaved; }
bool IsPossible(Fate fate, Step step) {
  if (fate == kRestartsUncommitted) return step == Step::kUnmasking;
  // A site that dies before its first keys are saved has not begun.
  return fate != kRestartsUnsaved || step != Step::kAdvertising;
}
Crash CrashOf(Fate fate) {
  if (fate == kRestartsUncommitted) return Crash::kWhileCommitting;
  return fate == kRestartsUnsaved ? Crash::kBeforeSaving : Crash::kAfterSaving;
}

using Fates = std::array<Fate, kSites>;  // of one step; kIsLost for a site that is out already
using Course = std::vector<Fates>;

std::string Describe(const Course& course) {
  std::string text;
  for (const Fates& fates : course) {
    StrAppend(&text, "\n  step");
    for (const Fate fate : fates) StrAppend(&text, " | ", kFateNames[fate]);
  }
  return text;
}

// A session played along a course.
class Play {
 public:
  explicit Play(const Federation& federation)
      : random_(7, "exhaustive"),
        host_(federation, federation.Config(kSites), Federation::First(kSites)) {
    for (std::size_t i = 0; i < kSites; ++i) {
      const SiteId id = Federation::Name(i);
      sites_.try_emplace(id, federation, id, Vector::Random(host_.session().config(), random_),
                         random_, witness_);
    }
  }

  // True when the step could be closed, or the sum was opened.
  bool DoStep(const Fates& fates) {
    const Step step = host_.session().step();
    std::vector<std::pair<SiteId, Answer>> late;
    std::set<SiteId> answered;
    for (std::size_t i = 0; i < kSites; ++i) {
      const SiteId id = Federation::Name(i);
      if (fates[i] == kIsLost) continue;
      Answer answer = AskedSite(sites_.at(id), host_.RequestFor(id), fates[i]);
      if (gave_no_answer_) continue;
      if (fates[i] == kIsLate) {
        late.emplace_back(id, std::move(answer));
      } else {
        Deliver(id, answer, true);
        Deliver(id, answer, true);  // the very same again is no error and changes nothing
        answered.insert(id);
      }
    }
    const bool enough = answered.size() >= kThreshold;
    bool went_on = step == Step::kUnmasking ? Open(enough) : Close(enough);
    for (const auto& [id, answer] : late) Deliver(id, answer, step == Step::kUnmasking && !went_on);
    // Unmasking is closed by opening: what comes after a vain try may still make it possible.
    if (step == Step::kUnmasking && !went_on && !late.empty())
      went_on = Open(answered.size() + late.size() >= kThreshold);
    Check(witness_.violations().empty(), "the witness saw nothing that must not be");
    if (!went_on) Check(!host_.session().Open().ok(), "a failed session is never opened");
    return went_on;
  }

  std::set<SiteId> Awaited() const { return host_.session().Awaited(); }
  // What distinguishes this state from others.
  std::string Fingerprint() {
    const CoordinatorSession& session = host_.session();
    std::string text = StrCat(static_cast<int>(session.step()), ";");
    const auto names = [&](const std::set<SiteId>& sites) {
      for (const SiteId& site : sites) StrAppend(&text, site.value, ",");
      text += ";";
    };
    names(session.Awaited());
    names(session.Members());
    if (session.step() >= Step::kUploading) names(session.sharers());
    if (session.step() >= Step::kAgreeing) names(session.survivors());
    for (auto& [id, site] : sites_) {
      if (site.session() != nullptr) text += AsText(site.session()->Save().Reveal());
      if (site.disk().session) text += AsText(*site.disk().session);
      StrAppend(&text, site.disk().records.size(), ";");
    }
    return text;
  }
  bool sum_is_right() const { return sum_is_right_; }
  const std::vector<std::string>& broken() const { return broken_; }

 private:
  void Check(bool holds, const char* rule) {
    if (!holds) broken_.emplace_back(rule);
  }

  // gave_no_answer_: it restarted after it had committed to its one answer, which is lost.
  Answer AskedSite(Site& site, const Request& request, Fate fate) {
    gave_no_answer_ = false;
    if (Restarts(fate)) {
      Check(!site.On(request, CrashOf(fate)).ok() && site.down(), "a crashed site says nothing");
      Check(site.Restart().ok(), "a site comes back from its disk");
    }
    auto answer = site.On(request);
    if (request.step == Step::kUnmasking && Restarts(fate) && fate != kRestartsUncommitted) {
      Check(!answer.ok(), "a site that has committed to its one answer gives none again");
      gave_no_answer_ = true;
      return {};
    }
    Check(answer.ok(), "an honest site answers an honest coordinator");
    gave_no_answer_ = !answer.ok();
    if (!answer.ok()) {
      broken_.push_back(std::string(answer.status().message()));
      return {};
    }
    if (request.step != Step::kUnmasking && fate == kAnswers) {
      auto again = site.On(request);
      Check(again.ok() && SameBytes(*again, *answer), "the same request gets the same bytes");
    }
    return *std::move(answer);
  }

  static bool SameBytes(const Answer& a, const Answer& b) {
    if (const auto* upload = std::get_if<Upload>(&a)) {
      const auto* other = std::get_if<Upload>(&b);
      return other != nullptr && upload->masked == other->masked && upload->proof == other->proof;
    }
    if (const auto* one = std::get_if<Advertisement>(&a)) return *one == std::get<Advertisement>(b);
    if (const auto* one = std::get_if<std::vector<SealedShare>>(&a))
      return *one == std::get<std::vector<SealedShare>>(b);
    if (const auto* one = std::get_if<crypto::Signature>(&a))
      return *one == std::get<crypto::Signature>(b);
    return false;
  }

  void Deliver(const SiteId& id, const Answer& answer, bool in_time) {
    const CoordinatorSession& session = host_.session();
    const auto step = session.step();
    const auto members = session.Members();
    const absl::Status status = host_.Take(id, answer);
    if (in_time) {
      Check(status.ok() && session.Answered(id), "an answer in time is taken");
    } else {
      Check(status.ok() || status.code() == absl::StatusCode::kFailedPrecondition,
            "a late answer is no accusation");
      Check(session.step() == step && session.Members() == members,
            "a late answer changes nothing");
    }
  }

  bool Close(bool enough) {
    const bool closed = host_.session().CloseStep().ok();
    Check(closed == enough, "a step closes with t answers and not below");
    return closed;
  }

  bool Open(bool enough) {
    Check(host_.session().EnoughAnswers() == enough, "t answers are enough, fewer are not");
    const auto survivors = host_.session().survivors();
    const auto sum = host_.Open();
    Check(sum.ok() == enough, "the sum opens with t answers and not below");
    if (!sum.ok()) return false;
    Check(survivors.size() >= kThreshold, "never opened for fewer than t sites");
    sum_is_right_ = *sum == PlainSum(host_.session().config(), sites_, survivors);
    Check(sum_is_right_, "the opened sum is the plain sum of the survivors");
    return true;
  }

  SeededRandom random_;
  Witness witness_;
  Host host_;
  std::map<SiteId, Site> sites_;
  bool sum_is_right_ = false, gave_no_answer_ = false;
  std::vector<std::string> broken_;
};

// All fates of the sites that are asked; the others stay lost.
std::vector<Fates> AllFates(const std::set<SiteId>& asked, Step step) {
  std::vector<Fates> all(1);
  for (std::size_t i = 0; i < kSites; ++i) {
    std::vector<Fates> more;
    for (Fates fates : all) {
      for (int fate = 0; fate < kFates; ++fate) {
        fates[i] = static_cast<Fate>(fate);
        if (!asked.contains(Federation::Name(i)) && fate != kIsLost) continue;
        if (!IsPossible(fates[i], step)) continue;
        more.push_back(fates);
      }
    }
    all = std::move(more);
  }
  return all;
}

int RestartsIn(const Course& course) {
  int restarts = 0;
  for (const Fates& fates : course) restarts += std::count_if(fates.begin(), fates.end(), Restarts);
  return restarts;
}

// The step in which each site last came back, as text.
std::string LastRestarts(const Course& course) {
  std::string last(kSites, '-');
  for (std::size_t step = 0; step < course.size(); ++step) {
    for (std::size_t i = 0; i < kSites; ++i) {
      if (Restarts(course[step][i])) last[i] = static_cast<char>('0' + step);
    }
  }
  return last;
}

struct Tally {
  std::uint64_t states = 0, moves = 0, went_on = 0, failed = 0;
};

TEST_CASE("Every course of four sites with threshold three keeps the rules") {
  const char* text = std::getenv("CONSILIUM_RESTARTS");
  const int most_restarts = text != nullptr ? std::atoi(text) : 1;
  const Federation federation(kSites);
  std::array<Tally, kSteps> tally;
  std::vector<std::string> broken;
  std::vector<Course> open_courses = {{}};
  std::uint64_t sums = 0;
  for (std::size_t step = 0; step < kSteps && broken.empty(); ++step) {
    std::vector<Course> next;
    std::unordered_set<std::string> seen;
    for (const Course& course : open_courses) {
      Play so_far(federation);
      for (const Fates& fates : course) so_far.DoStep(fates);
      for (const Fates& fates : AllFates(so_far.Awaited(), static_cast<Step>(step))) {
        Course longer = course;
        longer.push_back(fates);
        if (RestartsIn(longer) > most_restarts) continue;
        Play play(federation);
        for (const Fates& earlier : course) play.DoStep(earlier);
        const bool went_on = play.DoStep(fates);
        ++tally[step].moves;
        ++(went_on ? tally[step].went_on : tally[step].failed);
        if (!play.broken().empty()) {
          broken = play.broken();
          UNSCOPED_INFO(broken.front() << Describe(longer));
          break;
        }
        sums += play.sum_is_right();
        const std::string state = StrCat(play.Fingerprint(), LastRestarts(longer), went_on);
        if (seen.insert(crypto::Sha256(state).Hex()).second) {
          ++tally[step].states;
          if (went_on) next.push_back(std::move(longer));
        }
      }
      if (!broken.empty()) break;
    }
    open_courses = std::move(next);
  }
  CHECK(broken.empty());

  TextTable table({"step", "states", "moves tried", "went on", "below the threshold"});
  const char* names[] = {"advertise", "share", "upload", "agree", "unmask"};
  Tally all;
  for (std::size_t step = 0; step < kSteps; ++step) {
    const Tally& t = tally[step];
    table.AddRow({names[step], std::to_string(t.states), std::to_string(t.moves),
                  std::to_string(t.went_on), std::to_string(t.failed)});
    all.states += t.states;
    all.moves += t.moves;
  }
  table.AddRow({"all", std::to_string(all.states), std::to_string(all.moves), "-", "-"});
  std::cout << "n = 4, t = 3, at most " << most_restarts << " restarts in one course; sums opened "
            << sums << ", each the plain sum of its survivors\n"
            << table.ToString() << std::flush;
  for (const Tally& t : tally) {
    CHECK(t.went_on > 0);
    CHECK(t.failed > 0);
  }
  CHECK(sums == tally.back().went_on);
}

}  // namespace
}  // namespace consilium::secagg
