// What secure aggregation costs, each figure beside what the machine could do at best, measured in
// the same run: a ratio near 1 leaves nothing to gain. experiments/bench/secagg/run starts it.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/on_threads.h"
#include "common/base/random.h"
#include "common/base/status.h"
#include "common/base/text.h"
#include "common/model/quantizer.h"
#include "common/secagg/masking.h"
#include "experiments/bench/secagg/bench_sessions.h"
#include "site_agent/masked_update.h"

namespace consilium::bench {
namespace {

constexpr std::size_t kPieceValues = 65536;  // a segment, as sites and coordinator work

struct Options {
  std::uint64_t values = 100'000'000;
  std::uint32_t sites = 10, dropped = 1;
  int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  int rounds = 5;
  double goal = 0;  // of client masking; below it the program fails
  std::string folder = ".";
};

// Works on `n` values from `first` on.
using PieceWork = std::function<absl::Status(std::size_t first, std::size_t n)>;

// Splits the vector among the threads, piece by piece; each thread has a PieceWork of its own.
absl::Status OnPieces(const Options& options,
                      const std::function<absl::StatusOr<PieceWork>()>& make) {
  std::atomic<std::size_t> next = 0;
  return OnThreads(options.threads, [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const PieceWork work, make());
    for (std::size_t first = kPieceValues * next++; first < options.values;
         first = kPieceValues * next++) {
      RETURN_IF_ERROR(work(first, std::min<std::size_t>(kPieceValues, options.values - first)));
    }
    return absl::OkStatus();
  });
}

absl::StatusOr<double> Seconds(const std::function<absl::Status()>& work) {
  const auto begun = std::chrono::steady_clock::now();
  RETURN_IF_ERROR(work());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

// Both in turn, so that a busy machine slows both; the fastest of each.
struct Comparison {
  double ours = 1e300, floor = 1e300;
  double Ratio() const { return floor / ours; }
};
absl::StatusOr<Comparison> Compare(int rounds, const std::function<absl::Status()>& ours,
                                   const std::function<absl::Status()>& floor) {
  Comparison best;
  for (int round = 0; round < rounds; ++round) {
    ASSIGN_OR_RETURN(const double of_floor, Seconds(floor));
    ASSIGN_OR_RETURN(const double of_ours, Seconds(ours));
    best.floor = std::min(best.floor, of_floor);
    best.ours = std::min(best.ours, of_ours);
  }
  return best;
}

void Print(const std::string& what, const Comparison& seconds, const char* floor) {
  std::printf("%-46s %8.3f s   %8.3f s %-28s %5.2f\n", what.c_str(), seconds.ours, seconds.floor,
              floor, seconds.Ratio());
}

std::vector<secagg::Mask> RandomMasks(std::size_t count) {
  std::vector<secagg::Mask> masks;
  for (std::size_t i = 0; i < count; ++i) {
    secagg::Mask mask{crypto::Secret(32), i % 2 == 1};
    SystemRandom().Fill(mask.key.RevealForWriting());
    masks.push_back(std::move(mask));
  }
  return masks;
}

// The masks' keystreams of 4 bytes a value, made and thrown away: EVP AES-256-CTR
// (crypto::Keystream) into a buffer in the first-level cache.
absl::Status MakeKeystreams(const Options& options, std::span<const secagg::Mask> masks) {
  return OnPieces(options, [&]() -> absl::StatusOr<PieceWork> {
    auto streams = std::make_shared<std::vector<crypto::Keystream>>();
    for (const secagg::Mask& mask : masks) {
      ASSIGN_OR_RETURN(crypto::Keystream stream, crypto::Keystream::Create(mask.key));
      streams->push_back(std::move(stream));
    }
    auto buffer = std::make_shared<Bytes>(16 * 1024);
    return [streams, buffer](std::size_t first, std::size_t n) -> absl::Status {
      for (crypto::Keystream& stream : *streams) {
        for (std::size_t at = 4 * first; at < 4 * (first + n); at += buffer->size()) {
          const std::size_t bytes = std::min(buffer->size(), 4 * (first + n) - at);
          RETURN_IF_ERROR(stream.Generate(at, std::span(*buffer).first(bytes)));
        }
      }
      return absl::OkStatus();
    };
  });
}

// Adds the masks to pieces of the vector, each in a buffer of its own: as a site, which has just
// quantized the piece there (`sum` empty), or as the coordinator, which copies it from the sum.
absl::Status AddMasks(const Options& options, std::span<const secagg::Mask> masks,
                      std::span<const std::uint32_t> sum) {
  return OnPieces(options, [&]() -> absl::StatusOr<PieceWork> {
    ASSIGN_OR_RETURN(secagg::Masker made, secagg::Masker::Create(masks, options.values));
    const auto masker = std::make_shared<secagg::Masker>(std::move(made));
    const auto buffer = std::make_shared<std::vector<std::uint32_t>>(kPieceValues);
    return [masker, buffer, sum](std::size_t first, std::size_t n) {
      if (!sum.empty()) std::ranges::copy(sum.subspan(first, n), buffer->begin());
      return masker->AddToValues(first, std::span(*buffer).first(n));
    };
  });
}

absl::StatusOr<Comparison> CompareMasking(const Options& options, std::size_t masks,
                                          std::span<const std::uint32_t> sum) {
  const std::vector<secagg::Mask> set = RandomMasks(masks);
  return Compare(
      options.rounds, [&] { return AddMasks(options, set, sum); },
      [&] { return MakeKeystreams(options, set); });
}

// A whole Mask() of a site: difference, norm, quantizing, masking, hashing, writing the file.
absl::StatusOr<Comparison> CompareWholeUpdate(const Options& options) {
  const Layout layout = {{"weights", {static_cast<std::int64_t>(options.values)}}};
  std::vector<float> values(options.values);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = 1e-3f * static_cast<float>(i % 1000);
  ASSIGN_OR_RETURN(const ModelState base, ModelState::Create(layout, values));
  for (float& value : values) value += 1e-4f;
  ASSIGN_OR_RETURN(const ModelState model, ModelState::Create(layout, std::move(values)));
  secagg::SessionConfig session;
  session.key.attempt = {RunId("bench-0001"), 1, 1};
  session.cohort_size = options.sites;
  session.values = options.values;
  session.sums = wire::kUpdateSums;
  session.clip_norm = 1;
  session.total_weight = options.sites;
  const std::vector<secagg::Mask> masks = RandomMasks(options.sites);
  const fs::path outbox = fs::path(options.folder) / "secagg-benchmark";
  const auto mask = [&]() -> absl::Status {
    site_agent::Contribution update{session.key.attempt, base, session.model, model, 1, 0.5, 1};
    ASSIGN_OR_RETURN(const auto masked,
                     site_agent::Mask(
                         std::move(update), session, masks,
                         [](const Digest& sha256) { return secagg::UploadProof{sha256}; }, outbox,
                         options.threads));
    site_agent::Discard(masked.path());
    return absl::OkStatus();
  };
  const auto seconds =
      Compare(options.rounds, mask, [&] { return MakeKeystreams(options, masks); });
  site_agent::RemoveSpare(outbox);
  std::error_code ignored;
  fs::remove(outbox, ignored);
  return seconds;
}

absl::StatusOr<Comparison> CompareQuantizing(const Options& options,
                                             std::span<std::uint32_t> values) {
  const std::vector<float> delta(values.size(), 1e-4f);
  const std::vector<secagg::Mask> masks = RandomMasks(options.sites);
  ASSIGN_OR_RETURN(const Quantizer quantizer,
                   Quantizer::Create(1, options.sites, 1.0 / options.sites));
  const auto quantize_and_mask = [&]() -> absl::Status {
    ASSIGN_OR_RETURN(const double factor, quantizer.ClipFactor(delta, options.threads));
    const secagg::Mask rounding = std::move(RandomMasks(1)[0]);
    return OnPieces(options, [&]() -> absl::StatusOr<PieceWork> {
      ASSIGN_OR_RETURN(secagg::Masker masker, secagg::Masker::Create(masks, values.size()));
      ASSIGN_OR_RETURN(crypto::Keystream bits, crypto::Keystream::Create(rounding.key));
      struct State {
        secagg::Masker masker;
        crypto::Keystream bits;
        Bytes random = Bytes(2 * kPieceValues);
      };
      const auto state = std::make_shared<State>(State{std::move(masker), std::move(bits)});
      return [&, state, factor](std::size_t first, std::size_t n) -> absl::Status {
        const std::span<std::uint8_t> random = std::span(state->random).first(2 * n);
        RETURN_IF_ERROR(state->bits.Generate(2 * first, random));
        quantizer.Quantize(std::span(delta).subspan(first, n), factor, random,
                           values.subspan(first, n));
        return state->masker.AddToValues(first, values.subspan(first, n));
      };
    });
  };
  return Compare(options.rounds, quantize_and_mask, [&] { return MakeKeystreams(options, masks); });
}

// The coordinator's sum += update, against the same of floats.
absl::StatusOr<Comparison> CompareAdding(const Options& options, std::span<std::uint32_t> values) {
  std::vector<std::uint32_t> sum(values.size());
  std::vector<float> plain_sum(values.size()), plain(values.size(), 1.5f);
  const auto on_pieces = [&](const PieceWork& work) {
    return OnPieces(options, [&]() -> absl::StatusOr<PieceWork> { return work; });
  };
  const auto add = [&](std::size_t first, std::size_t n) {
    secagg::Add(std::span(sum).subspan(first, n), values.subspan(first, n));
    return absl::OkStatus();
  };
  const auto add_floats = [&](std::size_t first, std::size_t n) {
    float* __restrict to = plain_sum.data() + first;
    const float* __restrict from = plain.data() + first;
    for (std::size_t i = 0; i < n; ++i) to[i] += from[i];
    return absl::OkStatus();
  };
  return Compare(
      options.rounds, [&] { return on_pieces(add); }, [&] { return on_pieces(add_floats); });
}

absl::Status PrintSessions() {
  std::printf("\n%-46s %14s %14s\n", "sessions without their vectors (one core)", "a site",
              "coordinator");
  for (const std::uint32_t n : {10u, 100u}) {
    for (const std::uint32_t dropped : {0u, n / 10}) {
      ASSIGN_OR_RETURN(const SessionSeconds seconds, RunSession(n, dropped));
      std::printf("%-46s %11.2f ms %11.2f ms\n",
                  StrCat(n, " sites, ", dropped, " lost before their upload").c_str(),
                  1e3 * seconds.site, 1e3 * seconds.coordinator);
    }
    ASSIGN_OR_RETURN(const ShamirSeconds shamir, RunShamir(n));
    std::printf("%-46s %8.3f ms split %8.3f ms combined\n",
                StrCat("Shamir's shares of 32 bytes for ", n).c_str(), 1e3 * shamir.split,
                1e3 * shamir.combine);
  }
  return absl::OkStatus();
}

absl::Status Run(const Options& options) {
  std::printf("%llu values, %u sites, %d threads; fastest of %d in turn\n\n",
              static_cast<unsigned long long>(options.values), options.sites, options.threads,
              options.rounds);
  std::printf("%-46s %10s   %10s %-28s %5s\n", "", "ours", "floor", "", "ratio");
  const auto keystreams = [](std::size_t n) { return StrCat(n, " keystreams"); };
  std::vector<std::uint32_t> values(options.values, 1);
  const std::size_t survivors = options.sites - options.dropped;

  ASSIGN_OR_RETURN(const Comparison masking, CompareMasking(options, options.sites, {}));
  Print("client: masking", masking, keystreams(options.sites).c_str());
  ASSIGN_OR_RETURN(const Comparison quantizing, CompareQuantizing(options, values));
  Print("client: clipping, quantizing and masking", quantizing, keystreams(options.sites).c_str());
  ASSIGN_OR_RETURN(const Comparison adding, CompareAdding(options, values));
  Print("server: adding one update", adding, "adding floats");
  ASSIGN_OR_RETURN(const Comparison opening, CompareMasking(options, options.sites, values));
  Print("server: unmasking, nobody lost", opening, keystreams(options.sites).c_str());
  ASSIGN_OR_RETURN(const Comparison recovering,
                   CompareMasking(options, survivors * options.dropped, values));
  Print(StrCat("server: recovery of ", options.dropped, " lost"), recovering,
        keystreams(survivors * options.dropped).c_str());
  values = {};
  ASSIGN_OR_RETURN(const Comparison whole, CompareWholeUpdate(options));
  Print("client: all of it, with its hash and file", whole, keystreams(options.sites).c_str());
  RETURN_IF_ERROR(PrintSessions());
  if (masking.Ratio() >= options.goal) return absl::OkStatus();
  return absl::InternalError(StrCat("client masking runs at ", masking.Ratio(),
                                    " of its floor, the goal is ", options.goal));
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("What secure aggregation costs, beside what the machine can do");
  app.add_option("--d", options.values, "parameters")->check(CLI::Range(1, 2'000'000'000));
  app.add_option("--n", options.sites, "sites")->check(CLI::Range(3, 255));
  app.add_option("--dropped", options.dropped, "sites lost")->check(CLI::Range(1, 80));
  app.add_option("--threads", options.threads)->check(CLI::Range(1, 1024));
  app.add_option("--rounds", options.rounds)->check(CLI::Range(1, 1000));
  app.add_option("--goal", options.goal, "fail when client masking is below this ratio");
  app.add_option("--folder", options.folder, "for the masked update's file");
  CLI11_PARSE(app, argc, argv);
  if (options.dropped >= options.sites) options.dropped = options.sites - 1;
  return ReportAndExitCode(Run(options));
}

}  // namespace
}  // namespace consilium::bench

int main(int argc, char** argv) { return consilium::bench::Main(argc, argv); }
