#pragma once

// What a worker can do with files. To add an operation: write a function from its arguments and the
// open files to its result's bytes (message.h) or a refusal, in the folder that knows how; add it
// to the table in a function there, and call that function from worker/main.cpp. The other side
// calls WorkerPool::Call with the operation's name and takes the result apart with a MessageReader,
// checking every field: after a hostile file it is the attacker who answers.
//
// An operation runs in the sandbox (sandbox.h): it may read the files it is given and compute, in
// one thread. Whatever it wants to load from the disk (dictionaries, tables) it loads in its
// `warm_up`, which runs before.

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/bytes.h"
#include "common/base/file.h"
#include "datasets/refusal.h"

namespace consilium::datasets::worker {

// May throw and crash: the pool refuses the files then.
using Operation = std::function<OrRefused<Bytes>(ByteView arguments, std::vector<File> files)>;

class Operations {
 public:
  void Add(std::string name, Operation operation, std::function<void()> warm_up = {});
  // Null when there is none of that name.
  const Operation* Find(std::string_view name) const;
  void WarmUp() const;

 private:
  std::map<std::string, Operation, std::less<>> operations_;
  std::vector<std::function<void()>> warm_ups_;
};

}  // namespace consilium::datasets::worker
