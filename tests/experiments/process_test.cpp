#include "experiments/process.h"

#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "experiments/plan_text.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"

namespace consilium::experiments {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;

Command Shell(const std::string& script) { return {.program = "sh", .arguments = {"-c", script}}; }

bool Exists(pid_t pid) { return kill(pid, 0) == 0; }

TEST_CASE("a child's exit code and signal are told apart") {
  CHECK(Run(Shell("exit 0"))->ok());
  CHECK(Run(Shell("exit 3"))->code == 3);
  CHECK(Run(Shell("exit 3"))->signal == 0);
  const ExitState killed = *Run(Shell("kill -9 $$"));
  CHECK(killed.signal == SIGKILL);
  CHECK(killed.code == 128 + SIGKILL);
  CHECK_THAT(killed.ToString(), ContainsText("signal 9"));
}

TEST_CASE("a program that is not there is said to be missing") {
  const auto process = Process::Start({.program = "/no/such/program"});
  CHECK(process.status().code() == absl::StatusCode::kNotFound);
}

TEST_CASE("a child's output, errors and environment are its own") {
  const TemporaryFolder folder;
  Command command =
      Shell("echo out; echo err >&2; echo $CONSILIUM_TEST_WORD; read line || echo no input");
  command.environment = {{"CONSILIUM_TEST_WORD", "blue sky"}};
  command.output = folder / "out";
  command.errors = folder / "err";
  REQUIRE(Run(command)->ok());
  CHECK(*ReadTextFile(folder / "out") == "out\nblue sky\nno input\n");
  CHECK(*ReadTextFile(folder / "err") == "err\n");
}

TEST_CASE("waiting ends at its limit and leaves the child running") {
  Process process = *Process::Start(Shell("sleep 30"));
  const auto began = steady_clock::now();
  CHECK(process.Wait(milliseconds(50)).status().code() == absl::StatusCode::kDeadlineExceeded);
  CHECK(steady_clock::now() - began < seconds(5));
  CHECK(Exists(process.pid()));
  CHECK(process.PeakMemory() > 100'000);
  CHECK(process.End().signal == SIGTERM);
}

TEST_CASE("a child that ignores SIGTERM is killed, and what it started with it") {
  const TemporaryFolder folder;
  Command command = Shell("trap '' TERM; sleep 60 & echo $!; echo ready >&2; wait; wait");
  command.output = folder / "pid";
  command.errors = folder / "ready";
  Process process = *Process::Start(command);
  for (int i = 0; i < 500 && Tail(folder / "ready", 1).empty(); ++i)
    std::this_thread::sleep_for(milliseconds(10));
  const pid_t grandchild = std::stoi(Tail(folder / "pid", 1));
  CHECK(Exists(grandchild));
  CHECK(process.End(milliseconds(100)).signal == SIGKILL);
  for (int i = 0; i < 500 && Exists(grandchild); ++i) {
    // Whoever adopts it may take a moment to reap it: a zombie counts as gone.
    if (Tail("/proc/" + std::to_string(grandchild) + "/stat", 1).find(") Z ") != std::string::npos)
      break;
    std::this_thread::sleep_for(milliseconds(10));
  }
  const std::string stat = Tail("/proc/" + std::to_string(grandchild) + "/stat", 1);
  CHECK((stat.empty() || stat.find(") Z ") != std::string::npos));
}

TEST_CASE("a process that goes out of scope is ended") {
  pid_t pid = 0;
  {
    const Process process = *Process::Start(Shell("sleep 60"));
    pid = process.pid();
    CHECK(Exists(pid));
  }
  CHECK_FALSE(Exists(pid));
}

TEST_CASE("the tail of a log is its last lines") {
  const TemporaryFolder folder;
  REQUIRE(WriteFileDurably(folder / "log", "one\ntwo\nthree\n").ok());
  CHECK(Tail(folder / "log", 2) == "two\nthree\n");
  CHECK(Tail(folder / "log", 9) == "one\ntwo\nthree\n");
  REQUIRE(WriteFileDurably(folder / "log", "").ok());
  CHECK(Tail(folder / "log", 2).empty());
  CHECK(Tail(folder / "none", 2).empty());
}

TEST_CASE("a free port is one that nobody answers on") {
  const int port = FreePort().value();
  CHECK(port >= 20000);
  CHECK(port < 32000);
  CHECK_FALSE(PortAnswers(port));
  const int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  REQUIRE(bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(listen(listener, 1) == 0);
  CHECK(PortAnswers(port));
  close(listener);
}

TEST_CASE("a command is printed as a shell would read it") {
  const Command command{.program = "consilium", .arguments = {"plan", "my plan.toml", "it's", ""}};
  CHECK(command.ToString() == "consilium plan 'my plan.toml' 'it'\\''s' ''");
}

TEST_CASE("rounds and seed of a plan are replaced and all else stays") {
  const std::string plan = OverridePlan(kQuickstartPlan, {.rounds = 3, .seed = 99}).value();
  CHECK_THAT(plan, ContainsText("rounds = 3"));
  CHECK_THAT(plan, ContainsText("seed = 99"));
  CHECK_THAT(plan, ContainsText("# The quickstart's plan"));
  CHECK(OverridePlan(kQuickstartPlan, {}).value() == kQuickstartPlan);
  std::string without = kQuickstartPlan;
  without.resize(without.find("[stop]"));
  CHECK_THAT(OverridePlan(without, {.rounds = 3}).value(), ContainsText("[stop]\nrounds = 3"));
  CHECK_FALSE(OverridePlan("[plan]\nname = \"x\"\ncolour = 3\n", {}).ok());
}

TEST_CASE("a folder's name becomes a site's name") {
  CHECK(NameFrom("North Hospital (2)").value() == "north-hospital-2");
  CHECK(NameFrom("CS").value() == "cs");
  CHECK(NameFrom("__a__b__").value() == "a-b");
  CHECK_FALSE(NameFrom("___").ok());
}

}  // namespace
}  // namespace consilium::experiments
