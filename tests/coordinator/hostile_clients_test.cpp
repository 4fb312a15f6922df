// Clients that mean harm, or whose networks do, against real sockets: an honest member is answered
// while they are at it, and afterwards nothing of them is left.

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <iterator>

#include "common/model/safetensors.h"
#include "tests/coordinator/member_calls.h"

namespace consilium::coordinator {
namespace {

// An honest call is answered within this while an attack goes on. It takes milliseconds; the bound
// is for machines that are busy with other tests.
constexpr double kAnswered_s = 5;

class Socket {
 public:
  // `from`: an address of this machine's loopback network.
  explicit Socket(int port, const char* from = "127.0.0.1")
      : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    REQUIRE(socket_ >= 0);
    sockaddr_in here{};
    here.sin_family = AF_INET;
    REQUIRE(inet_pton(AF_INET, from, &here.sin_addr) == 1);
    REQUIRE(bind(socket_, reinterpret_cast<sockaddr*>(&here), sizeof here) == 0);
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    there.sin_port = htons(static_cast<std::uint16_t>(port));
    connected_ = connect(socket_, reinterpret_cast<sockaddr*>(&there), sizeof there) == 0;
  }
  Socket(Socket&& other) noexcept
      : socket_(std::exchange(other.socket_, -1)), connected_(other.connected_) {}
  ~Socket() {
    if (socket_ >= 0) close(socket_);
  }
  bool connected() const { return connected_; }
  void Send(const std::string& bytes) const {
    (void)!send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  }
  // Whether the other side has hung up, waiting for it.
  bool IsClosed(int timeout_ms = 0) const {
    pollfd ready{socket_, POLLIN, 0};
    while (poll(&ready, 1, timeout_ms) > 0) {
      char bytes[4096];
      const ssize_t size = recv(socket_, bytes, sizeof bytes, MSG_DONTWAIT);
      if (size == 0 || (size < 0 && errno != EAGAIN)) return true;
    }
    return false;
  }

 private:
  int socket_;
  bool connected_ = false;
};

// The beginning of a TLS 1.2 ClientHello that announces more than follows.
std::string HalfAHello() {
  return std::string("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 11) + std::string(40, 'r');
}

int EntriesOf(const char* folder) {
  return static_cast<int>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}
int OpenFiles() { return EntriesOf("/proc/self/fd"); }
int Threads() { return EntriesOf("/proc/self/task"); }

template <class Condition>
bool Eventually(const Condition& condition, double within_s) {
  const auto until = std::chrono::steady_clock::now() + FromSeconds(within_s);
  while (std::chrono::steady_clock::now() < until) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return condition();
}

// A site calls on a new connection, says Hello and is welcomed.
void CheckAnswered(const identity::Identity& site) {
  const auto begun = std::chrono::steady_clock::now();
  const auto answer = Hello(site, kProtocolVersion);
  INFO(answer.status().ToString());
  CHECK(answer.ok());
  CHECK(std::chrono::steady_clock::now() - begun < FromSeconds(kAnswered_s));
}

std::shared_ptr<grpc::Channel> OwnConnection(const identity::Identity& identity) {
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = identity.authority;
  options.pem_private_key = std::string(AsText(identity.private_key.Reveal()));
  options.pem_cert_chain = identity.certificate;
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_MAX_METADATA_SIZE, 1 << 20);
  return grpc::experimental::CreateCustomChannelWithInterceptors(
      identity.coordinator, grpc::SslCredentials(options), arguments, wire::ClientVersions({}));
}

TEST_CASE("a thousand connections that never speak up keep nobody waiting, and are closed") {
  ServiceLimits limits;
  limits.handshake = std::chrono::seconds(3);
  InProcessCoordinator coordinator(limits);
  const auto north = coordinator.Enrol("north", Role::kSite);
  CheckAnswered(north);
  const int files = OpenFiles(), threads = Threads();
  {
    std::vector<Socket> sockets;
    for (int i = 0; i < 1000; ++i) {
      sockets.emplace_back(coordinator.port(), "127.0.0.2");
      REQUIRE(sockets.back().connected());
      if (i % 3 == 1) sockets.back().Send(HalfAHello());
      if (i % 3 == 2) sockets.back().Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      if (i % 250 == 0) CheckAnswered(north);
    }
    CheckAnswered(north);
    CHECK(Threads() <= threads + 8);
    int open = 0;
    for (const Socket& socket : sockets) open += !socket.IsClosed(/*timeout_ms=*/8000);
    CHECK(open == 0);
  }
  CheckAnswered(north);
  CHECK(Eventually([&] { return OpenFiles() <= files + 8; }, 10));
  CHECK(Threads() <= threads + 8);
}

TEST_CASE("connections without a call are closed, those with one stay") {
  ServiceLimits limits;
  limits.idle = std::chrono::seconds(1);
  InProcessCoordinator coordinator(limits);
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto south = coordinator.Enrol("south", Role::kSite);
  Attendance attendance(north);
  REQUIRE(attendance.Next<wire::RosterFile>().ok());
  std::vector<std::shared_ptr<grpc::Channel>> channels;
  for (int i = 0; i < 50; ++i) {
    channels.push_back(OwnConnection(south));
    REQUIRE(channels.back()->WaitForConnected(std::chrono::system_clock::now() +
                                              std::chrono::seconds(10)));
  }
  CHECK(Eventually(
      [&] {
        return std::all_of(channels.begin(), channels.end(), [](const auto& channel) {
          return channel->GetState(/*try_to_connect=*/false) != GRPC_CHANNEL_READY;
        });
      },
      10));
  coordinator.SignNextRoster();
  CHECK(attendance.Next<wire::RosterFile>().ok());
}

TEST_CASE("one address may hold half of the connections, and another is still let in") {
  ServiceLimits limits;
  limits.connections = 40;
  limits.handshake = std::chrono::seconds(30);
  InProcessCoordinator coordinator(limits);
  const auto north = coordinator.Enrol("north", Role::kSite);
  std::vector<Socket> sockets;
  for (int i = 0; i < 60; ++i) sockets.emplace_back(coordinator.port(), "127.0.0.2");
  const auto closed = [&] {
    return std::count_if(sockets.begin(), sockets.end(),
                         [](const Socket& socket) { return socket.IsClosed(); });
  };
  CHECK(Eventually([&] { return closed() == 40; }, 5));
  CheckAnswered(north);
  CHECK(closed() == 40);
  sockets.clear();  // and there is room again
  CHECK(Eventually(
      [&] {
        const Socket again(coordinator.port(), "127.0.0.2");
        return !again.IsClosed(200);
      },
      5));
}

TEST_CASE("a process that runs out of files turns connections away and goes on afterwards") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  CheckAnswered(north);
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_NOFILE, &before) == 0);
  const rlimit few{static_cast<rlim_t>(OpenFiles() + 20), before.rlim_max};
  const int port = coordinator.port();
  int answer[2];
  REQUIRE(pipe(answer) == 0);
  const pid_t attacker = fork();
  if (attacker == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 300; ++i) {
      const int descriptor = socket(AF_INET, SOCK_STREAM, 0);
      sockaddr_in there{};
      there.sin_family = AF_INET;
      there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      there.sin_port = htons(static_cast<std::uint16_t>(port));
      (void)!connect(descriptor, reinterpret_cast<sockaddr*>(&there), sizeof there);
    }
    (void)!write(answer[1], "x", 1);
    pause();
    _exit(0);
  }
  REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
  char done = 0;
  const bool attacked = read(answer[0], &done, 1) == 1;
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  bool ran_out = false;
  for (int i = 0; i < 50 && !ran_out; ++i) {
    const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
    ran_out = file < 0 && errno == EMFILE;
    if (file >= 0) close(file);
  }
  kill(attacker, SIGKILL);
  waitpid(attacker, nullptr, 0);
  setrlimit(RLIMIT_NOFILE, &before);
  close(answer[0]);
  close(answer[1]);
  CHECK(attacked);
  CHECK(ran_out);
  CheckAnswered(north);
}

TEST_CASE("headers that are too large are refused, and the next call is answered") {
  InProcessCoordinator coordinator;
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  for (const std::size_t size : {20'000, 200'000}) {
    for (int i = 0; i < 20; ++i) {
      grpc::ClientContext context;
      context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(5));
      context.AddMetadata("x-large", std::string(size, 'x'));
      v1::JsonReply reply;
      const auto stub = v1::ResearchService::NewStub(OwnConnection(ada));
      CHECK_FALSE(stub->ListRuns(&context, {}, &reply).ok());
    }
  }
  CheckAnswered(north);
  CHECK(ListRuns(ada).ok());
}

TEST_CASE("a site that sends forever is refused with words, and the others are answered") {
  ServiceLimits limits;
  limits.messages = 100;
  limits.messages_a_second = 10;
  InProcessCoordinator coordinator(limits);
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto south = coordinator.Enrol("south", Role::kSite);
  const auto stub = v1::SiteService::NewStub(OwnConnection(north));
  grpc::ClientContext context;
  const auto stream = stub->Attend(&context);
  v1::FromSite message;
  wire::ToProto(wire::Hello{"test", kProtocolVersion}, &message);
  REQUIRE(stream->Write(message));
  wire::TaskProgress progress;
  progress.key = {RunId("tiny-0001"), 1, 1};
  progress.step = "training";
  wire::ToProto(progress, &message);
  std::thread reading([&] {
    for (v1::ToSite answer; stream->Read(&answer);) continue;
  });
  int sent = 0;
  while (sent < 100'000 && stream->Write(message)) ++sent;
  CheckAnswered(south);
  reading.join();
  const grpc::Status status = stream->Finish();
  CHECK(sent < 100'000);
  CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
  CHECK_THAT(status.error_message(), ContainsText("more than 10 messages a second"));
  CHECK(Eventually([&] { return coordinator.service().load().calls == 0; }, 5));
}

TEST_CASE("one member has only so many calls open, on however many connections") {
  ServiceLimits limits;
  limits.attends = 3;
  InProcessCoordinator coordinator(limits);
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto south = coordinator.Enrol("south", Role::kSite);
  struct Open {
    std::unique_ptr<v1::SiteService::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReaderWriter<v1::FromSite, v1::ToSite>> stream;
  };
  std::vector<std::unique_ptr<Open>> open;
  for (int i = 0; i < 40; ++i) {
    open.push_back(std::make_unique<Open>());
    open.back()->stub = v1::SiteService::NewStub(OwnConnection(north));
    open.back()->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    open.back()->stream = open.back()->stub->Attend(&open.back()->context);
    if (i == 2) {
      CHECK(Eventually([&] { return coordinator.service().load().calls == 3; }, 5));
    }
  }
  CheckAnswered(south);
  for (int i = 3; i < 40; ++i) {
    v1::ToSite message;
    CHECK_FALSE(open[i]->stream->Read(&message));
    const grpc::Status status = open[i]->stream->Finish();
    CHECK(status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED);
    CHECK_THAT(status.error_message(), ContainsText("3 standing connections open"));
  }
  for (int i = 0; i < 3; ++i) {
    open[i]->context.TryCancel();
    (void)open[i]->stream->Finish();
  }
  CHECK(Eventually([&] { return coordinator.service().load().calls == 0; }, 5));
  CheckAnswered(north);
}

TEST_CASE("a site that says nothing, or does not begin its upload, is hung up on") {
  ServiceLimits limits;
  limits.opening = std::chrono::seconds(1);
  InProcessCoordinator coordinator(limits);
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto stub = Sites(north);
  {
    grpc::ClientContext context;
    const auto stream = stub->Attend(&context);
    v1::ToSite message;
    CHECK_FALSE(stream->Read(&message));
    const grpc::Status status = stream->Finish();
    CHECK(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
    CHECK_THAT(status.error_message(), ContainsText("it did not say Hello for 1 s"));
  }
  grpc::ClientContext context;
  v1::UploadReceipt receipt;
  const auto writer = stub->Upload(&context, &receipt);
  const grpc::Status status = writer->Finish();
  CHECK(status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK_THAT(status.error_message(), ContainsText("no header of its upload"));
}

TEST_CASE("an upload that only trickles is ended, and goes on where it was") {
  ServiceLimits limits;
  limits.stall = std::chrono::seconds(1);
  InProcessCoordinator coordinator(limits);
  const auto ada = coordinator.Enrol("ada", Role::kResearcher);
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto south = coordinator.Enrol("south", Role::kSite);
  Attendance first(north), second(south);
  REQUIRE(Submit(ada, TinyPlan(2, 1)).ok());
  for (Attendance* site : {&first, &second}) {
    const auto invite = site->Next<wire::Invite>();
    REQUIRE(invite.ok());
    site->Say(wire::InviteAnswer{invite->run, true, "", 10, 10, 0});
  }
  const auto make = first.Next<wire::MakeInitialModel>();
  INFO(make.status().ToString());
  REQUIRE(make.ok());
  const std::vector<float> values(200'000, 1.0f);
  wire::UploadHeader header;
  header.key = make->key;
  header.kind = wire::ContributionKind::kInitialModel;
  header.weight = 1;
  header.layout_header = WriteSafetensorsHeader({{"weight", {200'000}}});
  const SealedContribution sealed =
      Seal(SiteId("north"), header, values, coordinator.authority().sealing_key().public_key);
  REQUIRE(sealed.segments.size() == 4);
  const auto stub = Sites(north);
  // Sends segments [from, to), and then empty messages until the coordinator has enough of it.
  const auto upload = [&](std::uint32_t from, std::uint32_t to) {
    grpc::ClientContext context;
    v1::UploadReceipt receipt;
    const auto writer = stub->Upload(&context, &receipt);
    v1::UploadChunk chunk;
    wire::UploadHeader begins = sealed.header;
    begins.first_segment = from;
    wire::ToProto(begins, chunk.mutable_header());
    bool open = writer->Write(chunk);
    chunk.clear_header();
    for (std::uint32_t i = from; open && i < to; ++i) {
      chunk.set_segment(sealed.segments[i].data(), sealed.segments[i].size());
      open = writer->Write(chunk);
    }
    chunk.clear_segment();
    for (int i = 0; open && i < 100 && to < sealed.segments.size(); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      open = writer->Write(chunk);
    }
    return writer->Finish();
  };
  const grpc::Status trickled = upload(0, 2);
  CHECK(trickled.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED);
  CHECK_THAT(trickled.error_message(), ContainsText("no whole segment of its upload for 1 s"));
  CheckAnswered(south);
  const grpc::Status done = upload(2, 4);
  INFO(done.error_message());
  CHECK(done.ok());
}

TEST_CASE("a receiver that stops reading a model is hung up on") {
  ServiceLimits limits;
  limits.stall = std::chrono::seconds(1);
  InProcessCoordinator coordinator(limits);
  const auto north = coordinator.Enrol("north", Role::kSite);
  const auto south = coordinator.Enrol("south", Role::kSite);
  // Nobody looks into a model that is only sent.
  const ModelId model = crypto::Sha256("a large model");
  {
    auto file = File::OpenForWriting(coordinator.models().PathOf(model), /*truncate=*/true);
    REQUIRE(file.ok());
    const Bytes piece(1 << 20, 7);
    for (std::uint64_t at = 0; at < (64u << 20); at += piece.size()) {
      REQUIRE(file->WriteAt(at, piece).ok());
    }
  }
  struct Slow {
    std::unique_ptr<v1::SiteService::Stub> stub;
    grpc::ClientContext context;
    std::unique_ptr<grpc::ClientReader<v1::ModelChunk>> reader;
  };
  std::vector<std::unique_ptr<Slow>> readers;
  v1::DownloadRequest request;
  request.set_model(wire::ToProtoBytes(model));
  for (int i = 0; i < limits.downloads; ++i) {
    readers.push_back(std::make_unique<Slow>());
    Slow& slow = *readers.back();
    slow.stub = v1::SiteService::NewStub(OwnConnection(north));
    slow.reader = slow.stub->DownloadModel(&slow.context, request);
    v1::ModelChunk chunk;
    REQUIRE(slow.reader->Read(&chunk));
  }
  CHECK(coordinator.service().load().calls == readers.size());
  CheckAnswered(south);
  CHECK(Eventually([&] { return coordinator.service().load().calls == 0; }, 10));
  for (const auto& slow : readers) {
    for (v1::ModelChunk chunk; slow->reader->Read(&chunk);) continue;
    CHECK_FALSE(slow->reader->Finish().ok());
  }
  CheckAnswered(north);
}

}  // namespace
}  // namespace consilium::coordinator
