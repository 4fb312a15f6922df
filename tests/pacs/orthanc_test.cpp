// Against a real archive. Skipped, with a warning, where Orthanc is not installed.

#include <httplib.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <thread>

#include "common/base/status.h"
#include "common/crypto/certificates.h"
#include "datasets/pacs/dicomweb_archive.h"
#include "datasets/pacs/dimse_archive.h"
#include "datasets/pacs/pull.h"
#include "datasets/pacs/send.h"
#include "tests/catch.h"
#include "tests/common/temporary_folder.h"
#include "tests/pacs/instances.h"
#include "tests/pacs/orthanc.h"

namespace consilium::datasets::pacs {
namespace {

constexpr char kUs[] = "CONSILIUM";

// Three studies: a CT of two series, a CT a year later, and phantoms in several transfer syntaxes.
void WriteStudies(const fs::path& folder) {
  for (int number = 0; number < 6; ++number) {
    TestInstance ct;
    ct.number = number;
    ct.instance = "2.25.111" + std::to_string(number);
    if (number >= 4) {
      ct.series = "2.25.12";
      ct.series_description = "LOCALIZER";
    }
    WriteInstance(folder / "first" / (ct.instance + ".dcm"), ct);
    if (number >= 3) continue;
    TestInstance later = ct;
    later.patient = "P2";
    later.accession = "A2";
    later.date = "20250301";
    later.study = "2.25.2";
    later.series = "2.25.21";
    later.study_description = "CT SKULL";
    later.instance = "2.25.222" + std::to_string(number);
    WriteInstance(folder / "second" / (later.instance + ".dcm"), later);
  }
  using dicom::TransferSyntax;
  int number = 0;
  for (const TransferSyntax syntax :
       {TransferSyntax::kExplicitLittleEndian, TransferSyntax::kExplicitBigEndian,
        TransferSyntax::kRle, TransferSyntax::kJpegLosslessSv1, TransferSyntax::kJpegLsLossless}) {
    ++number;
    WritePhantom(folder / "third" / (std::to_string(number) + ".dcm"), syntax, number);
  }
}

struct Site {
  // `secure`: DICOM over TLS, with certificates of our own authority.
  explicit Site(bool secure = false) : listen_port(FreePort()) {
    OrthancOptions options;
    options.known = {{kUs, listen_port}, {"NOBODY", FreePort()}};
    if (secure) {
      MakeCertificates();
      options.certificate = folder / "certificate.pem";
      options.private_key = folder / "key.pem";
      options.authority = folder / "authority.pem";
    }
    orthanc = std::make_unique<Orthanc>(options);
    WriteStudies(folder / "source");
  }

  // For both sides of TLS, as archives have them: our own authority's are for one side each.
  void MakeCertificates() const {
    REQUIRE(WriteFileDurably(folder / "names",
                             std::string_view("subjectAltName=DNS:localhost,IP:127.0.0.1"))
                .ok());
    const std::string key = " -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes ";
    const std::string commands =
        "cd " + folder.path().string() + " && { openssl req -x509 -days 3 -subj /CN=authority" +
        key + "-keyout authority-key.pem -out authority.pem && openssl req -subj /CN=localhost" +
        key + "-keyout key.pem -out request.pem && openssl x509 -req -days 3 -in request.pem " +
        "-CA authority.pem -CAkey authority-key.pem -CAcreateserial -extfile names " +
        "-out certificate.pem; } 2>/dev/null";
    REQUIRE(std::system(commands.c_str()) == 0);
  }
  TlsFiles Tls() const {
    return {folder / "certificate.pem", folder / "key.pem", folder / "authority.pem"};
  }

  DimsePeer Peer() const {
    DimsePeer peer;
    peer.address = {"127.0.0.1", std::to_string(orthanc->dicom_port())};
    peer.called = "ORTHANC";
    peer.calling = kUs;
    return peer;
  }
  std::unique_ptr<Archive> ByDimse(RetrieveMethod method, DimsePeer peer) const {
    DimseArchiveOptions options;
    options.peer = std::move(peer);
    options.method = method;
    options.listener.ae_title = kUs;
    options.listener.port = static_cast<std::uint16_t>(listen_port);
    options.listener.bind = "127.0.0.1";
    options.listener.calling_ae_titles = {"ORTHANC"};
    options.listener.tls = options.peer.tls;
    return std::make_unique<DimseArchive>(std::move(options), Cancelled());
  }
  std::unique_ptr<Archive> ByDimse(RetrieveMethod method) const { return ByDimse(method, Peer()); }
  std::unique_ptr<HttpClient> Http() const {
    DicomwebPeer peer;
    peer.url = orthanc->dicomweb();
    peer.basic_auth = orthanc->Login();
    auto client = HttpClient::Open(peer, {});
    INFO(client.status().message());
    REQUIRE(client.ok());
    return *std::move(client);
  }
  std::unique_ptr<Archive> ByDicomweb() const { return std::make_unique<DicomwebArchive>(Http()); }

  void Push(Destination& destination) const {
    auto journal = SendJournal::Open(folder / "sent.db");
    REQUIRE(journal.ok());
    NoProgress progress;
    const auto sent = SendFiles(folder / "source", destination, *journal, {}, progress);
    INFO(sent.status().message() << "\n" << orthanc->Log());
    REQUIRE(sent.ok());
    for (const auto& [reason, count] : sent->refused) INFO(count << ": " << reason);
    CHECK(sent->sent + sent->sent_before == 14);
  }

  TemporaryFolder folder;
  const int listen_port;
  std::unique_ptr<Orthanc> orthanc;
};

absl::StatusOr<PullReport> PullInto(const fs::path& folder, Archive& archive, const Query& query) {
  auto store = InstanceStore::Open(folder);
  REQUIRE(store.ok());
  NoProgress progress;
  PullOptions options;
  options.attempts = 1;
  return Pull(archive, store->get(), query, options, progress);
}

Query Everything() {
  Query query;
  query.since = "19000101";
  return query;
}

TEST_CASE("C-GET, C-MOVE and DICOMweb bring the same images that C-STORE and STOW-RS sent") {
  if (!Orthanc::Installed()) return;
  const Site site;
  StoreScu scu(site.Peer(), {});
  site.Push(scu);
  CHECK(site.orthanc->Instances() == 14);
  const auto sent = PixelHashes(site.folder / "source");
  REQUIRE(sent.size() == 14);

  Query query;  // all studies, by a key that fits all
  query.modalities = {"CT", "DX"};
  const std::unique_ptr<Archive> archives[] = {
      site.ByDimse(RetrieveMethod::kGet), site.ByDimse(RetrieveMethod::kMove), site.ByDicomweb()};
  int number = 0;
  for (const auto& archive : archives) {
    const fs::path folder = site.folder / ("in" + std::to_string(++number));
    const auto report = PullInto(folder, *archive, query);
    INFO("way " << number << ": " << report.status().message() << "\n" << site.orthanc->Log());
    REQUIRE(report.ok());
    CHECK(report->missing_reason.empty());
    CHECK(report->studies.size() == 3);
    CHECK(report->patients == 3);
    CHECK(report->fetched == 14);
    CHECK(report->present == 0);
    CHECK(report->missing == 0);
    CHECK(PixelHashes(folder) == sent);
    // Compressed images stay as they are stored.
    for (const auto& [uid, syntax] : TransferSyntaxes(site.folder / "source/third")) {
      INFO(syntax);
      CHECK(TransferSyntaxes(folder).at(uid) == syntax);
    }
    // Again: nothing is fetched twice; with one image gone, that one.
    const auto again = PullInto(folder, *archive, query);
    REQUIRE(again.ok());
    CHECK(again->fetched == 0);
    CHECK(again->present == 14);
    REQUIRE(Remove(FilesBelow(folder).front()).ok());
    const auto last = PullInto(folder, *archive, query);
    REQUIRE(last.ok());
    CHECK(last->fetched == 1);
    CHECK(last->present == 13);
    CHECK(PixelHashes(folder) == sent);
  }

  // The other way in, into an archive that is empty.
  const Site other;
  StowDestination stow(other.orthanc->dicomweb(), other.Http());
  other.Push(stow);
  CHECK(other.orthanc->Instances() == 14);
  const auto back = other.ByDicomweb();
  REQUIRE(PullInto(other.folder / "in", *back, query).ok());
  CHECK(PixelHashes(other.folder / "in") == sent);
}

TEST_CASE("an archive is searched by what is asked, and a dry run fetches nothing") {
  if (!Orthanc::Installed()) return;
  const Site site;
  StoreScu scu(site.Peer(), {});
  site.Push(scu);
  const std::unique_ptr<Archive> archives[] = {site.ByDimse(RetrieveMethod::kGet),
                                               site.ByDicomweb()};
  for (const auto& archive : archives) {
    const auto found = [&](const std::function<void(Query&)>& set) {
      Query query;
      set(query);
      NoProgress progress;
      PullOptions options;
      options.dry_run = true;
      options.attempts = 1;
      return Pull(*archive, nullptr, query, options, progress);
    };
    const auto images = [&](const std::function<void(Query&)>& set) {
      const auto report = found(set);
      INFO(report.status().message());
      REQUIRE(report.ok());
      CHECK(report->fetched == 0);
      return static_cast<int>(report->instances);
    };
    CHECK(images([](Query& q) { q.modalities = {"DX"}; }) == 5);
    CHECK(images([](Query& q) { q.since = "20240101", q.until = "20241231"; }) == 6);
    CHECK(images([](Query& q) { q.since = "20250301", q.until = "20250301"; }) == 3);
    CHECK(images([](Query& q) { q.patient_ids = {"P2", "PHANTOM", "ABSENT"}; }) == 8);
    CHECK(images([](Query& q) { q.accession_numbers = {"A1"}; }) == 6);
    CHECK(images([](Query& q) { q.study_uids = {"2.25.2", "2.25.1"}; }) == 9);
    CHECK(images([](Query& q) { q.study_uids = {"2.25.1"}, q.series_uids = {"2.25.12"}; }) == 2);
    CHECK(images([](Query& q) { q.study_description = "ct s*"; }) == 3);
    CHECK(images([](Query& q) { q.series_description = "localizer"; }) == 2);
    const auto limited = found([](Query& q) { q.modalities = {"CT"}, q.limit = 1; });
    REQUIRE(limited.ok());
    CHECK(limited->studies.size() == 1);
    const auto none = found([](Query& q) { q.patient_ids = {"ABSENT"}; });
    CHECK(absl::IsNotFound(none.status()));
    CHECK_THAT(std::string(none.status().message()), ContainsText("no study"));
  }
}

TEST_CASE("a pull that is killed goes on where it was and fetches the rest only") {
  if (!Orthanc::Installed()) return;
  const Site site;
  StoreScu scu(site.Peer(), {});
  site.Push(scu);
  for (int number = 0; number < 80; ++number) {
    TestInstance instance;
    instance.number = number;
    instance.study = "2.25.4";
    instance.series = "2.25.41";
    instance.instance = "2.25.4000" + std::to_string(number);
    WriteInstance(site.folder / "many" / (instance.instance + ".dcm"), instance);
  }
  auto journal = SendJournal::Open(site.folder / "sent.db");
  NoProgress progress;
  REQUIRE(SendFiles(site.folder / "many", scu, *journal, {}, progress).ok());
  scu.Finish();
  Query query;
  query.study_uids = {"2.25.4"};
  for (const bool dicomweb : {false, true}) {
    const fs::path folder = site.folder / (dicomweb ? "web" : "dimse");
    const auto archive = [&] {
      return dicomweb ? site.ByDicomweb() : site.ByDimse(RetrieveMethod::kGet);
    };
    const pid_t pulling = fork();
    if (pulling == 0) {
      const auto inside = archive();
      _exit(PullInto(folder, *inside, query).ok() ? 0 : 1);
    }
    for (int wait = 0; wait < 20000 && FilesBelow(folder).size() < 20; ++wait) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    kill(pulling, SIGKILL);
    int how = 0;
    waitpid(pulling, &how, 0);
    CHECK(WIFSIGNALED(how));
    const std::size_t arrived = PixelHashes(folder).size();  // each of them whole
    INFO(arrived << " had arrived");
    REQUIRE(arrived >= 20);
    CHECK(arrived < 80);
    const auto outside = archive();
    const auto report = PullInto(folder, *outside, query);
    INFO(report.status().message());
    REQUIRE(report.ok());
    CHECK(report->present == arrived);
    CHECK(report->fetched == 80 - arrived);
    CHECK(PixelHashes(folder) == PixelHashes(site.folder / "many"));
  }
}

TEST_CASE("what an archive refuses is said in words, with what to ask for") {
  if (!Orthanc::Installed()) return;
  const Site site;
  StoreScu scu(site.Peer(), {});
  site.Push(scu);
  const auto refusal = [&](DimsePeer peer) {
    const auto archive = site.ByDimse(RetrieveMethod::kGet, std::move(peer));
    return PullInto(site.folder / "in", *archive, Everything()).status();
  };
  DimsePeer wrong = site.Peer();
  wrong.called = "OTHER";
  CHECK(absl::IsPermissionDenied(refusal(wrong)));
  CHECK_THAT(std::string(refusal(wrong).message()), ContainsText("not called OTHER"));
  wrong = site.Peer();
  wrong.calling = "STRANGER";
  CHECK(ExitCodeFor(refusal(wrong)) == 4);
  CHECK_THAT(std::string(refusal(wrong).message()), ContainsText("STRANGER"));
  wrong = site.Peer();
  wrong.address.port = std::to_string(FreePort());
  CHECK(ExitCodeFor(refusal(wrong)) == 3);
  CHECK_THAT(std::string(refusal(wrong).message()), ContainsText("Check host, port"));
  // A destination that the archive does not know.
  DimseArchiveOptions options;
  options.peer = site.Peer();
  options.method = RetrieveMethod::kMove;
  options.listener.ae_title = "UNHEARD";
  options.listener.bind = "127.0.0.1";
  options.listener.calling_ae_titles = {"ORTHANC"};
  DimseArchive mover(options, {});
  Query query;
  query.study_uids = {"2.25.1"};
  const absl::Status unknown = PullInto(site.folder / "in", mover, query).status();
  CHECK_FALSE(unknown.ok());
  CHECK_THAT(std::string(unknown.message()), ContainsText("register the AE title UNHEARD"));
  // DICOMweb: a wrong password, another path.
  DicomwebPeer peer;
  peer.url = site.orthanc->dicomweb();
  REQUIRE(WriteFileDurably(site.folder / "wrong", std::string_view("tester:wrong")).ok());
  peer.basic_auth = site.folder / "wrong";
  DicomwebArchive stranger(*HttpClient::Open(peer, {}));
  CHECK_THAT(std::string(PullInto(site.folder / "in", stranger, Everything()).status().message()),
             ContainsText("does not accept these credentials"));
}

TEST_CASE("the listener takes what Orthanc sends, and says no to an archive it does not know") {
  if (!Orthanc::Installed()) return;
  const Site site;
  StoreScu scu(site.Peer(), {});
  site.Push(scu);
  auto store = InstanceStore::Open(site.folder / "in");
  REQUIRE(store.ok());
  ListenerOptions options;
  options.ae_title = kUs;
  options.bind = "127.0.0.1";
  options.port = static_cast<std::uint16_t>(site.listen_port);
  options.calling_ae_titles = {"SOMEBODY"};
  {
    const auto strict = StorageListener::Start(options, **store);
    REQUIRE(strict.ok());
    CHECK_FALSE(site.orthanc->SendAllTo(kUs));
    CHECK((*strict)->counts().refused > 0);
    CHECK((*store)->arrived() == 0);
  }
  options.calling_ae_titles.push_back("ORTHANC");
  const auto listener = StorageListener::Start(options, **store);
  REQUIRE(listener.ok());
  CHECK(site.orthanc->SendAllTo(kUs));
  CHECK((*store)->arrived() == 14);
  CHECK(PixelHashes(site.folder / "in") == PixelHashes(site.folder / "source"));
}

TEST_CASE(
    "DIMSE works over TLS, https checks whom it talks to, and a side that does not fit is told "
    "so") {
  if (!Orthanc::Installed()) return;
  const Site site(true);
  DimsePeer peer = site.Peer();
  peer.tls = site.Tls();
  StoreScu scu(peer, {});
  site.Push(scu);
  const auto sent = PixelHashes(site.folder / "source");
  Query query;
  query.modalities = {"CT", "DX"};
  const std::unique_ptr<Archive> archives[] = {site.ByDimse(RetrieveMethod::kGet, peer),
                                               site.ByDimse(RetrieveMethod::kMove, peer),
                                               site.ByDicomweb()};
  int number = 0;
  for (const auto& archive : archives) {
    const fs::path folder = site.folder / ("in" + std::to_string(++number));
    const auto report = PullInto(folder, *archive, query);
    INFO("way " << number << ": " << report.status().message() << "\n" << site.orthanc->Log());
    REQUIRE(report.ok());
    CHECK(PixelHashes(folder) == sent);
  }
  const auto refusal = [&](const DimsePeer& wrong) {
    const auto archive = site.ByDimse(RetrieveMethod::kGet, wrong);
    return std::string(PullInto(site.folder / "in", *archive, query).status().message());
  };
  DimsePeer plain = site.Peer();  // no TLS where TLS is expected
  plain.limits.message = std::chrono::seconds(3);
  CHECK_THAT(refusal(plain), ContainsText("TLS"));
  DimsePeer nameless = peer;  // no certificate where one is asked for
  nameless.tls->certificate.clear();
  nameless.tls->private_key.clear();
  CHECK_THAT(refusal(nameless), ContainsText("certificate"));
  const auto other = crypto::MakeAuthority("another", SystemClock().Now(), 30);
  REQUIRE(WriteFileDurably(site.folder / "other.pem", other->certificate).ok());
  DimsePeer distrusting = peer;
  distrusting.tls->authority = site.folder / "other.pem";
  CHECK_THAT(refusal(distrusting), ContainsText("--tls-authority"));
  // https: an archive with nothing in it.
  httplib::SSLServer server((site.folder / "certificate.pem").c_str(),
                            (site.folder / "key.pem").c_str());
  server.Get("/dicom-web/studies", [](const httplib::Request&, httplib::Response& response) {
    response.set_content("[]", "application/dicom+json");
  });
  const int port = server.bind_to_any_port("127.0.0.1");
  std::thread serving([&] { server.listen_after_bind(); });
  const auto answer = [&](const fs::path& authority) {
    DicomwebPeer web;
    web.url = StrCat("https://localhost:", port, "/dicom-web");
    web.tls.authority = authority;
    DicomwebArchive archive(*HttpClient::Open(web, {}));
    return std::string(PullInto(site.folder / "in", archive, query).status().message());
  };
  CHECK_THAT(answer(site.folder / "authority.pem"), ContainsText("no study"));
  CHECK_THAT(answer(site.folder / "other.pem"), ContainsText("--tls-authority"));
  server.stop();
  serving.join();
}

}  // namespace
}  // namespace consilium::datasets::pacs
