// The storage listener against senders that behave and senders that do not.

#include <arpa/inet.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <thread>

#include "common/base/random.h"
#include "common/base/status.h"
#include "datasets/pacs/destination.h"
#include "datasets/pacs/send.h"
#include "datasets/pacs/storage_listener.h"
#include "datasets/pacs/storage_scp.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/pacs/instances.h"

namespace consilium::datasets::pacs {
namespace {

using std::chrono::milliseconds;

struct Hospital {
  explicit Hospital(const std::function<void(ListenerOptions&)>& change = {}) {
    store = *InstanceStore::Open(folder / "in", 1 << 20);
    ListenerOptions options;
    options.ae_title = "CONSILIUM";
    options.bind = "127.0.0.1";
    options.calling_ae_titles = {"SCANNER"};
    options.handshake = milliseconds(400);
    options.limits.message = milliseconds(400);
    if (change) change(options);
    auto started = StorageListener::Start(options, *store);
    INFO(started.status().message());
    REQUIRE(started.ok());
    listener = *std::move(started);
  }

  DimsePeer Peer(const std::string& calling = "SCANNER") const {
    DimsePeer peer;
    peer.address = {"127.0.0.1", std::to_string(listener->port())};
    peer.called = "CONSILIUM";
    peer.calling = calling;
    peer.limits.message = std::chrono::seconds(10);
    return peer;
  }

  absl::Status Send(const TestInstance& instance, DimsePeer peer) const {
    const fs::path path = folder / "out" / (instance.instance + ".dcm");
    WriteInstance(path, instance);
    StoreScu scu(std::move(peer), {});
    const absl::Status sent = scu.Send({path, *ReadFileMeta(path)});
    scu.Finish();
    return sent;
  }
  absl::Status Send(const TestInstance& instance) const { return Send(instance, Peer()); }

  // Whether it still takes what a proper sender sends.
  bool Alive() const {
    static int number = 0;
    TestInstance instance;
    instance.instance = "2.25.7" + std::to_string(++number);
    return Send(instance).ok() && store->Has(instance.instance);
  }

  int Raw() const {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(listener->port());
    REQUIRE(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    const timeval wait{5, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
    return fd;
  }

  TemporaryFolder folder;
  std::unique_ptr<InstanceStore> store;
  std::unique_ptr<StorageListener> listener;
};

void SendRaw(int fd, ByteView bytes) {
  [[maybe_unused]] const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

// True when the listener closes the connection within five seconds.
bool IsClosed(int fd) {
  std::uint8_t byte = 0;
  ssize_t count = 0;
  while ((count = recv(fd, &byte, 1, 0)) > 0) {
  }
  const bool closed = count == 0 || errno == ECONNRESET;
  close(fd);
  return closed;
}

Bytes SoundRequest() {
  AssociateRequest request;
  request.called = "CONSILIUM";
  request.calling = "SCANNER";
  request.contexts = {{1, kCtClass, {std::string(kImplicitLittleEndian)}}};
  return Encode(request);
}

// The listener counts after it has answered.
bool Soon(const std::function<bool()>& is_so) {
  for (int tenths = 0; tenths < 100 && !is_so(); ++tenths) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  return is_so();
}

TEST_CASE("the listener takes what an AE title that it knows sends, once") {
  const Hospital hospital;
  const TestInstance instance;
  REQUIRE(hospital.Send(instance).ok());
  CHECK(PixelHashes(hospital.folder / "in") == PixelHashes(hospital.folder / "out"));
  const fs::path file = FilesBelow(hospital.folder / "in").front();
  const auto written = fs::last_write_time(file);
  CHECK(hospital.Send(instance).ok());  // acknowledged again, not written again
  CHECK(fs::last_write_time(file) == written);
  CHECK(hospital.store->arrived() == 1);
  CHECK(hospital.listener->counts().associations == 2);
}

TEST_CASE(
    "the listener refuses an AE title, a name of its own, and an address that it does not know") {
  const Hospital hospital;
  const absl::Status stranger = hospital.Send({}, hospital.Peer("STRANGER"));
  CHECK(absl::IsPermissionDenied(stranger));
  CHECK_THAT(std::string(stranger.message()), ContainsText("calling AE title STRANGER"));
  DimsePeer wrong = hospital.Peer();
  wrong.called = "OTHER";
  CHECK_THAT(std::string(hospital.Send({}, wrong).message()), ContainsText("not called OTHER"));
  CHECK(hospital.listener->counts().refused == 2);
  CHECK(hospital.store->arrived() == 0);
  const Hospital guarded([](ListenerOptions& options) { options.peers = {"10.9.8.7"}; });
  CHECK_FALSE(guarded.Send({}).ok());
  CHECK(guarded.listener->counts().refused == 1);
}

TEST_CASE("the listener outlives garbage, half a request, silence and a huge PDU") {
  const Hospital hospital;
  const std::uint64_t seed = 5;
  INFO("seed " << seed);
  SeededRandom random(seed);
  Bytes garbage(100000);
  random.Fill(garbage);
  const int noise = hospital.Raw();
  SendRaw(noise, garbage);
  CHECK(IsClosed(noise));
  // Each first byte that begins a PDU, with a length that nobody has.
  for (std::uint8_t type = 1; type <= 7; ++type) {
    const int fd = hospital.Raw();
    SendRaw(fd, Bytes{type, 0, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3});
    INFO("PDU type " << int{type});
    CHECK(IsClosed(fd));
  }
  const int half = hospital.Raw();  // half of a request, then nothing
  const Bytes request = SoundRequest();
  SendRaw(half, ByteView(request).first(request.size() / 2));
  CHECK(IsClosed(half));
  CHECK(IsClosed(hospital.Raw()));    // nothing at all
  const int silent = hospital.Raw();  // an association that never sends
  SendRaw(silent, request);
  CHECK(IsClosed(silent));
  const int huge = hospital.Raw();  // within an association
  SendRaw(huge, request);
  SendRaw(huge, Bytes{4, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0, 0, 9, 1, 3});
  CHECK(IsClosed(huge));
  CHECK(hospital.Alive());
  CHECK(Soon([&] { return hospital.listener->counts().broken >= 12; }));
  CHECK(hospital.store->arrived() == 1);
}

TEST_CASE("mutations of a sound association end without harm") {
  const Hospital hospital;
  Bytes session = SoundRequest();
  ElementSet store;
  store.SetUid(command::kAffectedSopClass, kCtClass)
      .SetUid(command::kAffectedSopInstance, "2.25.111")
      .SetUnsigned16(command::kField, 1)
      .SetUnsigned16(command::kMessageId, 1)
      .SetUnsigned16(command::kDataSetType, command::kWithDataSet);
  const Bytes command = store.EncodeCommand();
  const auto put = [&](ByteView value, std::uint8_t control) {
    const auto size = static_cast<std::uint8_t>(value.size());
    const Bytes head = {4, 0,
                        0, 0,
                        0, static_cast<std::uint8_t>(size + 6),
                        0, 0,
                        0, static_cast<std::uint8_t>(size + 2),
                        1, control};
    session.insert(session.end(), head.begin(), head.end());
    session.insert(session.end(), value.begin(), value.end());
  };
  put(command, 3);
  put(ByteView(DataSetOf({})).first(200), 2);
  const std::uint64_t seed = 17;
  INFO("seed " << seed);
  SeededRandom random(seed);
  for (int round = 0; round < 60; ++round) {
    Bytes bytes = session;
    for (int change = 0; change < 3; ++change) {
      bytes[random.Below(bytes.size())] = static_cast<std::uint8_t>(random());
    }
    const int fd = hospital.Raw();
    SendRaw(fd, bytes);
    shutdown(fd, SHUT_WR);
    CHECK(IsClosed(fd));
  }
  CHECK(hospital.Alive());
}

TEST_CASE("an instance over the limit ends the association and leaves nothing") {
  const Hospital hospital;
  AssociateRequest request;
  auto association =
      Associate(hospital.Peer(), {{1, kCtClass, {std::string(kImplicitLittleEndian)}}}, {}, {});
  REQUIRE(association.ok());
  ElementSet store;
  store.SetUid(command::kAffectedSopClass, kCtClass)
      .SetUid(command::kAffectedSopInstance, "2.25.111")
      .SetUnsigned16(command::kField, 1)
      .SetUnsigned16(command::kMessageId, 1)
      .SetUnsigned16(command::kDataSetType, command::kWithDataSet);
  REQUIRE((*association)->Send(1, store).ok());
  (*association)->SendDataSet(1, Bytes(3 << 20)).IgnoreError();
  CHECK_FALSE((*association)->Receive().ok());
  association->reset();
  CHECK(hospital.Alive());
  CHECK_FALSE(hospital.store->Has("2.25.111"));
}

TEST_CASE("more senders than it serves at a time are put off, and later served") {
  const Hospital hospital([](ListenerOptions& options) {
    options.max_associations = 1;
    options.limits.message = std::chrono::seconds(20);
  });
  const std::vector<PresentationContext> contexts = {
      {1, kCtClass, {std::string(kImplicitLittleEndian)}}};
  auto first = Associate(hospital.Peer(), contexts, {}, {});
  REQUIRE(first.ok());
  const auto second = Associate(hospital.Peer(), contexts, {}, {});
  CHECK(absl::IsUnavailable(second.status()));
  CHECK_THAT(std::string(second.status().message()), ContainsText("Try again later"));
  REQUIRE((*first)->Release().ok());
  bool served = false;
  for (int wait = 0; wait < 100 && !served; ++wait) {
    served = hospital.Send({}).ok();
    std::this_thread::sleep_for(milliseconds(10));
  }
  CHECK(served);
}

TEST_CASE("a listener with an open association stops at once, and its port is free again") {
  Hospital hospital(
      [](ListenerOptions& options) { options.limits.message = std::chrono::seconds(60); });
  const auto open =
      Associate(hospital.Peer(), {{1, kCtClass, {std::string(kImplicitLittleEndian)}}}, {}, {});
  REQUIRE(open.ok());
  const auto begin = std::chrono::steady_clock::now();
  hospital.listener->Stop();
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(3));
  ListenerOptions again;
  again.ae_title = "CONSILIUM";
  again.bind = "127.0.0.1";
  again.port = hospital.listener->port();
  again.calling_ae_titles = {"SCANNER"};
  CHECK(StorageListener::Start(again, *hospital.store).ok());
}

TEST_CASE("files that an archive has acknowledged are not sent again") {
  const Hospital hospital;
  for (int number = 0; number < 3; ++number) {
    TestInstance instance;
    instance.number = number;
    instance.instance = "2.25.50" + std::to_string(number);
    WriteInstance(hospital.folder / ("out/" + instance.instance + ".dcm"), instance);
  }
  REQUIRE(WriteFileDurably(hospital.folder / "out/notes.txt", std::string_view("hello")).ok());
  auto journal = SendJournal::Open(hospital.folder / "sent.db");
  REQUIRE(journal.ok());
  NoProgress progress;
  StoreScu first(hospital.Peer(), {});
  const auto sent = SendFiles(hospital.folder / "out", first, *journal, {}, progress);
  REQUIRE(sent.ok());
  CHECK(sent->sent == 3);
  CHECK(sent->not_dicom == 1);
  StoreScu second(hospital.Peer(), {});
  const auto again = SendFiles(hospital.folder / "out", second, *journal, {}, progress);
  REQUIRE(again.ok());
  CHECK(again->sent == 0);
  CHECK(again->sent_before == 3);
  CHECK(hospital.listener->counts().associations == 1);
}

// A disk of one megabyte; nothing where this user may not mount.
class SmallDisk {
 public:
  explicit SmallDisk(fs::path folder) : folder_(std::move(folder)) {
    REQUIRE(EnsureFolder(folder_).ok());
    mounted_ = mount("consilium-test", folder_.c_str(), "tmpfs", 0, "size=1m") == 0;
    if (!mounted_) WARN("skipped: only root may mount the small disk that this test fills");
  }
  ~SmallDisk() {
    if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
  }
  bool mounted() const { return mounted_; }

 private:
  const fs::path folder_;
  bool mounted_ = false;
};

TEST_CASE("a full disk is answered with A700, and the sender may try again") {
  const TemporaryFolder folder;
  const SmallDisk disk(folder / "in");
  if (!disk.mounted()) return;
  auto store = InstanceStore::Open(folder / "in");
  REQUIRE(store.ok());
  ListenerOptions options;
  options.ae_title = "CONSILIUM";
  options.bind = "127.0.0.1";
  options.calling_ae_titles = {"SCANNER"};
  const auto listener = StorageListener::Start(options, **store);
  REQUIRE(listener.ok());
  REQUIRE(WriteFileDurably(folder / "in/.ballast", Bytes(1000 << 10)).ok());
  DimsePeer peer;
  peer.address = {"127.0.0.1", std::to_string((*listener)->port())};
  peer.called = "CONSILIUM";
  peer.calling = "SCANNER";
  TestInstance large;
  large.study_description = std::string(60000, 'x');
  WriteInstance(folder / "large.dcm", large);
  const OutgoingFile file{folder / "large.dcm", *ReadFileMeta(folder / "large.dcm")};
  StoreScu scu(peer, {});
  const absl::Status full = scu.Send(file);
  CHECK(absl::IsUnavailable(full));
  CHECK_THAT(std::string(full.message()), ContainsText("A700"));
  CHECK(Soon([&] { return (*listener)->counts().failed == 1; }));
  REQUIRE(Remove(folder / "in/.ballast").ok());
  CHECK(scu.Send(file).ok());
  CHECK((*store)->Has(large.instance));
}

}  // namespace
}  // namespace consilium::datasets::pacs
