// Every course that a session of four sites with threshold three can take, when at every step each
// site answers, answers only after the step is closed, crashes before or after its state is saved
// and comes back to answer, or is never heard of again.
//
// Breadth first over the five steps. A state is what the coordinator shows, what every site has in
// memory and on disk, and in which step each site last came back (what Save() forgets would not
// show in the bytes); equal states are gone on from once. Each course is played from the beginning.
//
// CONSILIUM_RESTARTS bounds the restarts in one course (1); "all" explores everything.

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <optional>

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
bool IsOut(Fate fate) { return fate == kIsLate || fate == kIsLost; }
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

  // Plays what was played and checked before.
  void Repeat(const Course& course) {
    thorough_ = false;
    for (const Fates& fates : course) DoStep(fates);
    thorough_ = true;
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
        if (thorough_) Deliver(id, answer, true);  // the very same again is no error
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
    if (thorough_ && request.step != Step::kUnmasking && fate == kAnswers) {
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
  bool thorough_ = true, sum_is_right_ = false, gave_no_answer_ = false;
  std::vector<std::string> broken_;
};

int RestartsIn(const Fates& fates) { return std::count_if(fates.begin(), fates.end(), Restarts); }

// All fates of the sites that are asked; the others stay lost. Where fewer than t sites answer the
// session ends, and one restart before that is enough of them.
std::vector<Fates> AllFates(const std::set<SiteId>& asked, Step step) {
  std::vector<Fates> all(1);
  for (std::size_t i = 0; i < kSites; ++i) {
    std::vector<Fates> more;
    for (Fates fates : all) {
      for (int fate = 0; fate < kFates; ++fate) {
        fates[i] = static_cast<Fate>(fate);
        if (!asked.contains(Federation::Name(i)) && fate != kIsLost) continue;
        if (IsPossible(fates[i], step)) more.push_back(fates);
      }
    }
    all = std::move(more);
  }
  std::erase_if(all, [](const Fates& fates) {
    const auto out = std::count_if(fates.begin(), fates.end(), IsOut);
    return kSites - out < kThreshold && RestartsIn(fates) > 1;
  });
  return all;
}

// In which step each site that is still in last came back, and how often any did.
struct Restarted {
  std::string last = std::string(kSites, '-');
  int times = 0;

  void Note(const Fates& fates, std::size_t step) {
    times += RestartsIn(fates);
    for (std::size_t i = 0; i < kSites; ++i) {
      if (Restarts(fates[i])) last[i] = static_cast<char>('0' + step);
      if (IsOut(fates[i])) last[i] = '-';
    }
  }
};

class Exploration {
 public:
  explicit Exploration(std::optional<int> most_restarts) : most_restarts_(most_restarts) {}

  // Breaks off at the first rule that is broken.
  void Run() {
    for (std::size_t step = 0; step < kSteps && broken_.empty(); ++step) {
      std::vector<Course> courses = std::move(open_);
      open_.clear();
      seen_.clear();
      for (const Course& course : courses) GoOnFrom(course);
    }
  }
  const std::string& broken() const { return broken_; }
  void Print() const;
  struct Tally {
    std::uint64_t states = 0, moves = 0, went_on = 0, failed = 0;
  };
  const std::array<Tally, kSteps>& tally() const { return tally_; }
  std::uint64_t sums() const { return sums_; }

 private:
  void GoOnFrom(const Course& course) {
    Play so_far(federation_);
    so_far.Repeat(course);
    Restarted before;
    for (std::size_t step = 0; step < course.size(); ++step) before.Note(course[step], step);
    for (const Fates& fates : AllFates(so_far.Awaited(), static_cast<Step>(course.size()))) {
      Restarted restarted = before;
      restarted.Note(fates, course.size());
      if (most_restarts_ && restarted.times > *most_restarts_) continue;
      Move(course, fates, restarted);
      if (!broken_.empty()) return;
    }
  }

  void Move(Course course, const Fates& fates, const Restarted& restarted) {
    Tally& tally = tally_[course.size()];
    Play play(federation_);
    play.Repeat(course);
    const bool went_on = play.DoStep(fates);
    ++tally.moves;
    ++(went_on ? tally.went_on : tally.failed);
    sums_ += play.sum_is_right();
    course.push_back(fates);
    if (!play.broken().empty()) broken_ = play.broken().front() + Describe(course);
    std::string state = StrCat(play.Fingerprint(), restarted.last, went_on);
    if (most_restarts_) StrAppend(&state, ";", restarted.times);
    if (!seen_.insert(crypto::Sha256(state)).second) return;
    ++tally.states;
    if (went_on) open_.push_back(std::move(course));
  }

  const Federation federation_{kSites};
  std::optional<int> most_restarts_;
  std::vector<Course> open_ = {{}};  // one to each state that goes on
  std::set<Digest> seen_;            // states after the present step
  std::array<Tally, kSteps> tally_;
  std::uint64_t sums_ = 0;
  std::string broken_;
};

void Exploration::Print() const {
  TextTable table({"step", "states", "moves", "went on", "below the threshold"});
  const char* names[] = {"advertise", "share", "upload", "agree", "unmask"};
  Tally all;
  const auto row = [&](const char* name, const Tally& t) {
    table.AddRow({name, std::to_string(t.states), std::to_string(t.moves),
                  std::to_string(t.went_on), std::to_string(t.failed)});
    all = {all.states + t.states, all.moves + t.moves, all.went_on + t.went_on,
           all.failed + t.failed};
  };
  for (std::size_t step = 0; step < kSteps; ++step) row(names[step], tally_[step]);
  row("all", Tally(all));
  std::cout << "n = 4, t = 3, "
            << (most_restarts_ ? StrCat("at most ", *most_restarts_) : std::string("any number of"))
            << " restarts in one course: " << sums_
            << " sums opened, each the plain sum of its survivors\n"
            << table.ToString() << std::flush;
}

TEST_CASE("Every course of four sites with threshold three keeps the rules") {
  const std::string restarts = [] {
    const char* text = std::getenv("CONSILIUM_RESTARTS");
    return std::string(text != nullptr ? text : "1");
  }();
  Exploration exploration(restarts == "all" ? std::nullopt
                                            : std::optional(std::atoi(restarts.c_str())));
  exploration.Run();
  exploration.Print();
  INFO(exploration.broken());
  CHECK(exploration.broken().empty());
  for (const Exploration::Tally& tally : exploration.tally()) {
    CHECK(tally.went_on > 0);
    CHECK(tally.failed > 0);
  }
  CHECK(exploration.sums() == exploration.tally().back().went_on);
}

}  // namespace
}  // namespace consilium::secagg
