// Whole federations in bad weather: messages are dropped, delayed, repeated and overtaken, sites
// crash at every step and come back from their disks, or never; the coordinator gives up on sites
// that are fine, tries again after a failure, and opens again what it has opened.
//
// One run is one seed:   CONSILIUM_SEED=<seed> CONSILIUM_RUNS=1 secagg_simulation_test
// More of them:          CONSILIUM_SEED=1 CONSILIUM_RUNS=100000 secagg_simulation_test "<test>"

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <stdexcept>

#include "common/base/text_table.h"
#include "tests/catch.h"
#include "tests/common/secagg/memoised_crypto.h"
#include "tests/common/secagg/session_scene.h"

namespace consilium::secagg {
namespace {

using Step = CoordinatorSession::Step;

struct RuleBroken : std::runtime_error {
  using std::runtime_error::runtime_error;
};
void Must(bool holds, const std::string& rule) {
  if (!holds) throw RuleBroken(rule);
}

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Counts {
  std::uint64_t runs = 0, attempts = 0, opened = 0, opened_without_a_site = 0, opened_again = 0;
  std::uint64_t failed[5] = {};  // by the step that could not be closed
  std::uint64_t dropped = 0, repeated = 0, late = 0, crashes = 0, restarts = 0, gone = 0, lost = 0;
  std::uint64_t masks = 0, answers_refused = 0;
};

// How bad it is, drawn once a run.
struct Weather {
  double drop, repeat, crash, never_back, given_up;
  std::uint64_t longest_delay, patience;

  static Weather Draw(SeededRandom& random) {
    const auto one_of = [&](std::initializer_list<double> odds) {
      return *(odds.begin() + random.Below(odds.size()));
    };
    Weather weather{};
    weather.drop = one_of({0, 0.02, 0.05, 0.2});
    weather.repeat = one_of({0, 0.1, 0.4});
    weather.crash = one_of({0, 0.005, 0.02, 0.08});
    weather.never_back = one_of({0, 0.1, 0.4});
    weather.given_up = one_of({0, 0, 0, 0.002});
    weather.longest_delay = 1 + random.Below(8);
    weather.patience = 15 + random.Below(40);
    return weather;
  }
};

class Simulation {
 public:
  Simulation(const Federation& federation, std::uint64_t seed, std::size_t sites, Counts& counts)
      : federation_(federation),
        random_(seed, "simulation"),
        weather_(Weather::Draw(random_)),
        counts_(counts) {
    values_ = random_.Below(41);
    sums_ = static_cast<std::uint32_t>(random_.Below(6));
    careful_ = random_.Chance(0.2);
    for (std::size_t i = 0; i < sites; ++i) present_.insert(Federation::Name(i));
    const SessionConfig shape = Shape(1);
    for (const SiteId& id : present_) {
      sites_.try_emplace(id, federation, id, Vector::Random(shape, random_), random_, witness_);
    }
  }

  void Run() {
    ++counts_.runs;
    int again = random_.Chance(0.15) ? 1 : 0;  // opens the same quantity once more
    for (std::uint32_t attempt = 1; attempt <= 3; ++attempt) {
      if (present_.size() < kFewestSites) break;
      ++counts_.attempts;
      hosts_.emplace_back(std::make_unique<Host>(federation_, Shape(attempt), present_));
      if (RunAttempt() && again-- == 0) break;
    }
    Deliver(now_ + 100);  // whatever is still on its way
    CheckWitness();
    counts_.masks += witness_.masks();
  }

 private:
  struct Piece {
    std::size_t offset;
    Bytes bytes;
  };
  using Word = std::variant<Request, Answer, Piece, UploadProof>;
  struct Letter {
    std::size_t attempt;  // index into hosts_
    SiteId site;          // to or from
    Word word;
  };

  SessionConfig Shape(std::uint32_t attempt) const {
    SessionConfig config = federation_.Config(present_.size(), attempt);
    config.values = values_;
    config.sums = sums_;
    // A plan may ask for more than the least threshold.
    if (careful_ && config.threshold < config.cohort_size) ++config.threshold;
    return config;
  }

  // ---- the wire

  void Send(Letter letter) {
    if (random_.Chance(weather_.drop)) {
      ++counts_.dropped;
      return;
    }
    const std::uint64_t due = now_ + 1 + random_.Below(weather_.longest_delay);
    if (random_.Chance(weather_.repeat)) {
      ++counts_.repeated;
      mail_.emplace(due + random_.Below(30), letter);
    }
    mail_.emplace(due, std::move(letter));
  }

  void SendUpload(std::size_t attempt, const SiteId& site, const Upload& upload) {
    for (std::size_t offset = 0; offset < upload.masked.size();) {
      const std::size_t size =
          std::min<std::size_t>(1 + random_.Below(100), upload.masked.size() - offset);
      const auto begin = upload.masked.begin() + static_cast<long>(offset);
      Send({attempt, site, Piece{offset, Bytes(begin, begin + static_cast<long>(size))}});
      offset += size;
    }
    Send({attempt, site, upload.proof});
  }

  void Deliver(std::uint64_t until) {
    while (!mail_.empty() && mail_.begin()->first <= until) {
      Letter letter = std::move(mail_.extract(mail_.begin()).mapped());
      if (const auto* request = std::get_if<Request>(&letter.word)) {
        AtSite(letter, *request);
      } else {
        AtCoordinator(letter);
      }
    }
  }

  void AtSite(const Letter& letter, const Request& request) {
    Site& site = sites_.at(letter.site);
    if (site.down()) return;
    Crash crash = Crash::kNot;
    if (random_.Chance(weather_.crash)) crash = static_cast<Crash>(1 + random_.Below(3));
    auto answer = site.On(request, crash);
    if (site.down()) {
      ++counts_.crashes;
      if (random_.Chance(weather_.never_back)) {
        ++counts_.gone;
        present_.erase(letter.site);
      } else {
        back_.emplace(now_ + 1 + random_.Below(20), letter.site);
      }
      return;
    }
    if (!answer.ok()) {
      // An honest coordinator in bad weather is told "not any more", never "you cheat", but for
      // what a crash has left: a committed record whose answer was lost.
      ++counts_.answers_refused;
      const bool asked_again = request.step == Step::kUnmasking || request.step == Step::kAgreeing;
      Must(answer.status().code() == absl::StatusCode::kFailedPrecondition ||
               (asked_again && answer.status().code() == absl::StatusCode::kPermissionDenied),
           StrCat("an honest coordinator was refused: ", answer.status().ToString()));
      return;
    }
    if (const auto* upload = std::get_if<Upload>(&*answer)) {
      SendUpload(letter.attempt, letter.site, *upload);
    } else {
      Send({letter.attempt, letter.site, *std::move(answer)});
    }
  }

  void AtCoordinator(const Letter& letter) {
    Host& host = *hosts_[letter.attempt];
    const auto before = host.session().step();
    absl::Status status;
    if (const auto* answer = std::get_if<Answer>(&letter.word)) {
      status = host.Take(letter.site, *answer);
    } else if (const auto* piece = std::get_if<Piece>(&letter.word)) {
      status = host.TakePiece(letter.site, piece->offset, piece->bytes);
    } else {
      status = host.TakeProof(letter.site, std::get<UploadProof>(letter.word));
    }
    if (!status.ok()) ++counts_.late;
    Must(status.ok() || status.code() == absl::StatusCode::kFailedPrecondition,
         StrCat("an honest site was refused: ", status.ToString()));
    Must(host.session().step() == before, "a message alone closes no step");
  }

  // ---- one attempt

  bool RunAttempt() {
    Host& host = *hosts_.back();
    std::uint64_t began = now_, asked = 0;
    given_up_.clear();
    Ask();
    while (true) {
      ++now_;
      Deliver(now_);
      Restarts();
      GiveUpSome();
      CheckWitness();
      CoordinatorSession& session = host.session();
      const bool enough = session.EnoughAnswers() && random_.Chance(0.2);
      if (session.Awaited().empty() || enough || now_ - began > weather_.patience) {
        if (session.step() == Step::kUnmasking) return Open();
        const auto step = static_cast<int>(session.step());
        if (!session.CloseStep().ok()) {
          ++counts_.failed[step];
          Must(!session.Open().ok(), "a failed session is never opened");
          return false;
        }
        if (session.step() == Step::kAgreeing) {
          for (const SiteId& id : given_up_)
            Must(!session.survivors().contains(id), "who is lost before the sum is not in it");
        }
        began = now_;
        Ask();
      } else if (++asked % 7 == 0) {
        Ask();
      }
    }
  }

  void Ask() {
    Host& host = *hosts_.back();
    for (const SiteId& site : host.session().Awaited())
      Send({hosts_.size() - 1, site, host.RequestFor(site)});
  }

  bool Open() {
    Host& host = *hosts_.back();
    const CoordinatorSession& session = host.session();
    const bool enough = session.EnoughAnswers();
    auto sum = host.Open();
    Must(sum.ok() == enough, StrCat("opens with enough answers and only then: ",
                                    sum.ok() ? "it did" : sum.status().ToString()));
    if (!sum.ok()) {
      ++counts_.failed[4];
      return false;
    }
    const std::set<SiteId>& survivors = session.survivors();
    Must(survivors.size() >= session.config().threshold, "at least t sites are in the sum");
    Must(*sum == PlainSum(session.config(), sites_, survivors),
         "the opened sum is the plain sum of the survivors");
    Must(!released_ || *released_ == survivors, "one quantity is opened for one set of sites only");
    ++counts_.opened;
    if (survivors.size() < session.sharers().size()) ++counts_.opened_without_a_site;
    if (released_) ++counts_.opened_again;
    released_ = survivors;
    return true;
  }

  void Restarts() {
    while (!back_.empty() && back_.begin()->first <= now_) {
      const absl::Status status = sites_.at(back_.begin()->second).Restart();
      Must(status.ok(), StrCat("a site comes back from its disk: ", status.ToString()));
      back_.erase(back_.begin());
      ++counts_.restarts;
    }
  }

  void GiveUpSome() {
    for (const auto& [id, site] : sites_) {
      if (!random_.Chance(weather_.given_up)) continue;
      hosts_.back()->session().Lose(id);
      if (hosts_.back()->session().step() < Step::kAgreeing) given_up_.insert(id);
      ++counts_.lost;
    }
  }

  void CheckWitness() const {
    Must(witness_.violations().empty(),
         witness_.violations().empty() ? "" : witness_.violations().front());
  }

  const Federation& federation_;
  SeededRandom random_;
  Weather weather_;
  Counts& counts_;
  std::uint64_t values_ = 0;
  std::uint32_t sums_ = 0;
  bool careful_ = false;
  std::set<SiteId> given_up_;  // in this attempt, before the survivors were known
  std::set<SiteId> present_;   // not crashed for good: the next attempt's cohort
  Witness witness_;
  std::map<SiteId, Site> sites_;
  std::vector<std::unique_ptr<Host>> hosts_;  // of each attempt: late letters find theirs
  std::multimap<std::uint64_t, Letter> mail_;
  std::multimap<std::uint64_t, SiteId> back_;
  std::optional<std::set<SiteId>> released_;
  std::uint64_t now_ = 0;
};

void Print(std::uint64_t seed, const Counts& counts) {
  TextTable table(
      {"seeds " + std::to_string(seed) + " to " + std::to_string(seed + counts.runs - 1), "count"});
  const auto row = [&](const char* what, std::uint64_t count) {
    table.AddRow({what, std::to_string(count)});
  };
  row("runs", counts.runs);
  row("attempts", counts.attempts);
  row("sums opened, each bit-exact", counts.opened);
  row("  of them without a site that had shared", counts.opened_without_a_site);
  row("  of them again, for the same sites", counts.opened_again);
  const char* steps[] = {"advertising", "sharing", "uploading", "agreeing", "unmasking"};
  for (int step = 0; step < 5; ++step)
    row(StrCat("below the threshold in ", steps[step], ", not opened").c_str(),
        counts.failed[step]);
  row("messages dropped", counts.dropped);
  row("messages repeated", counts.repeated);
  row("messages too late", counts.late);
  row("requests that a site answers no more", counts.answers_refused);
  row("crashes", counts.crashes);
  row("restarts", counts.restarts);
  row("crashed for good", counts.gone);
  row("given up on", counts.lost);
  row("masks, none for two vectors", counts.masks);
  std::cout << table.ToString() << std::flush;
}

Counts RunSimulations(std::uint64_t runs, std::size_t fewest, std::size_t most) {
  static const Federation federation(100);
  const std::uint64_t first = FromEnvironment("CONSILIUM_SEED", 1);
  runs = FromEnvironment("CONSILIUM_RUNS", runs);
  Counts counts;
  for (std::uint64_t seed = first; seed < first + runs; ++seed) {
    SeededRandom draw(seed, "cohort");
    // Small cohorts are cheap and close to their threshold: every second run has at most 8 sites.
    const std::size_t largest = draw.Chance(0.5) ? std::min<std::size_t>(most, fewest + 5) : most;
    const std::size_t sites = fewest + draw.Below(largest - fewest + 1);
    try {
      Simulation(federation, seed, sites, counts).Run();
    } catch (const RuleBroken& broken) {
      FAIL(broken.what() << "\nrepeat with CONSILIUM_SEED=" << seed << " CONSILIUM_RUNS=1, "
                         << sites << " sites");
    }
    ForgetCrypto();
  }
  Print(first, counts);
  CHECK(counts.runs == runs);
  return counts;
}

TEST_CASE("The opened sum is bit-exactly the plain sum of the survivors, with 3 to 20 sites") {
  const Counts counts = RunSimulations(300, 3, 20);
  if (counts.runs < 300) return;  // too few to ask for every kind of accident
  CHECK(counts.opened > counts.runs / 2);
  CHECK(counts.opened_without_a_site > counts.opened / 20);
  CHECK(counts.opened_again > 0);
  for (const std::uint64_t failed : counts.failed) CHECK(failed > 0);
  CHECK(counts.late > 0);
  CHECK(counts.restarts > 0);
}

TEST_CASE("The opened sum is bit-exactly the plain sum of the survivors, with 100 sites") {
  CHECK(RunSimulations(1, 100, 100).opened > 0);
}

}  // namespace
}  // namespace consilium::secagg
