#pragma once

// consilium-dataset pull, send and listen.

#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "common/base/progress.h"
#include "datasets/pacs/storage_listener.h"

namespace CLI {
class App;
}

namespace consilium::datasets::pacs {

struct ListenArguments {
  fs::path out;
  ListenerOptions options;
  std::uint64_t max_instance_bytes = kDefaultMaxInstanceBytes;
  bool json = false;
};

// Listens until `progress` says to stop, which is a clean end (OK). Says on standard output when
// and where it listens, and at the end what arrived.
absl::Status RunListen(const ListenArguments& arguments, Progress& progress);

// The options of a listen command, for any program that has one. `arguments` must outlive parsing.
void AddListenOptions(CLI::App& command, ListenArguments& arguments);

// The subcommands of consilium-dataset.
class Commands {
 public:
  Commands();
  ~Commands();
  void AddTo(CLI::App& app);
  // Runs the one that was given; nothing: it was none of these.
  std::optional<absl::Status> Run(const CLI::App& app);

 private:
  struct Arguments;
  std::unique_ptr<Arguments> arguments_;
};

}  // namespace consilium::datasets::pacs
