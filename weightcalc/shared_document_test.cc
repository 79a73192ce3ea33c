// Tests of shared_document.h.

#include "weightcalc/shared_document.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "weightcalc/forked_process.h"

namespace dynweight {
namespace {

constexpr size_t kDocumentBytes = 4099;  // no multiple of a word

std::string ReadText(const SharedDocument& document) {
  std::string text(document.capacity(), '?');
  text.resize(document.Read(text.data()));
  return text;
}

class SharedDocumentTest : public testing::Test {
 protected:
  SharedMapping mapping_{SharedDocument::Bytes(kDocumentBytes)};
  SharedDocument document_ =
      SharedDocument::Create(mapping_.get(), kDocumentBytes);
};

TEST_F(SharedDocumentTest, IsEmptyWhenCreated) {
  EXPECT_EQ(document_.capacity(), kDocumentBytes);
  EXPECT_EQ(document_.version(), 0u);
  EXPECT_EQ(document_.size(), 0u);
  EXPECT_EQ(ReadText(document_), "");
}

TEST_F(SharedDocumentTest, BytesAreWholeLines) {
  for (size_t capacity : {0, 1, 63, 64, 65, 4099}) {
    EXPECT_EQ(SharedDocument::Bytes(capacity) % 64, 0u);
  }
}

TEST_F(SharedDocumentTest, ShowsTheLastTextWritten) {
  for (const std::string& text :
       {std::string("one"), std::string("the second"), std::string(),
        std::string("12345678"), std::string("a\0b", 3),
        std::string(kDocumentBytes, 'x'),
        std::string(kDocumentBytes - 1, 'y')}) {
    ASSERT_TRUE(document_.Write(text).ok());
    EXPECT_EQ(document_.size(), text.size());
    EXPECT_EQ(ReadText(document_), text);
  }
  EXPECT_EQ(document_.version(), 7u);
}

TEST_F(SharedDocumentTest, ATextInPiecesIsShownWhenItIsWhole) {
  const std::string text = std::string(1000, 'x') + "the end";
  ASSERT_TRUE(document_.Write("old").ok());
  ASSERT_TRUE(document_.Begin(text.size()).ok());
  for (size_t offset = 0; offset < text.size(); offset += 64) {
    EXPECT_EQ(ReadText(document_), "old");
    document_.Fill(offset, std::string_view(text).substr(offset, 64));
  }
  document_.Show();
  EXPECT_EQ(ReadText(document_), text);
  EXPECT_EQ(document_.version(), 2u);

  // Given up midway, and begun again.
  ASSERT_TRUE(document_.Begin(text.size()).ok());
  document_.Fill(0, "half");
  EXPECT_EQ(ReadText(document_), text);
  ASSERT_TRUE(document_.Write("new").ok());
  EXPECT_EQ(ReadText(document_), "new");
  EXPECT_EQ(document_.Begin(kDocumentBytes + 1).code(),
            absl::StatusCode::kResourceExhausted);
}

TEST_F(SharedDocumentTest, IsReadInPiecesOfOneText) {
  for (size_t length : {0, 1, 63, 64, 65, 4099}) {
    const std::string text(length, 'x');
    ASSERT_TRUE(document_.Write(text).ok());
    SharedDocumentReader reader(&document_);
    size_t pieces = 1;
    for (; !reader.Read(64); ++pieces) {
      EXPECT_EQ(reader.text().size(), pieces * 64);
    }
    EXPECT_EQ(reader.text(), text);
    EXPECT_EQ(pieces, std::max<size_t>((length + 63) / 64, 1));
  }

  // One write meanwhile leaves the text that is being read; a second one has
  // its place, and it is the newest that is read then.
  ASSERT_TRUE(document_.Write(std::string(1000, 'a')).ok());
  SharedDocumentReader reader(&document_);
  EXPECT_FALSE(reader.Read(64));
  ASSERT_TRUE(document_.Write(std::string(900, 'b')).ok());
  EXPECT_FALSE(reader.Read(64));
  EXPECT_EQ(reader.text(), std::string(128, 'a'));
  ASSERT_TRUE(document_.Write(std::string(800, 'c')).ok());
  while (!reader.Read(64)) {
  }
  EXPECT_EQ(reader.text(), std::string(800, 'c'));
}

TEST_F(SharedDocumentTest, APieceOfATextThatIsAlwaysOvertakenIsNone) {
  ASSERT_TRUE(document_.Write(std::string(1000, 'a')).ok());
  SharedDocumentReader reader(&document_);
  int pieces = 0;
  while (!reader.Read(64)) {
    ASSERT_LT(++pieces, 1000);
    ASSERT_TRUE(document_.Write(std::string(1000, 'b')).ok());
    ASSERT_TRUE(document_.Write(std::string(1000, 'c')).ok());
  }
  EXPECT_EQ(reader.text(), "");
}

TEST_F(SharedDocumentTest, RefusesATextThatIsTooLongAndKeepsTheOld) {
  ASSERT_TRUE(document_.Write("old").ok());
  const absl::Status status =
      document_.Write(std::string(kDocumentBytes + 1, 'x'));
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ReadText(document_), "old");
  EXPECT_EQ(document_.version(), 1u);
}

TEST_F(SharedDocumentTest, ReadWritesNoByteBeyondTheText) {
  ASSERT_TRUE(document_.Write("12345").ok());
  std::string out(kDocumentBytes, '?');
  EXPECT_EQ(document_.Read(out.data()), 5u);
  EXPECT_EQ(out, "12345" + std::string(kDocumentBytes - 5, '?'));
}

TEST_F(SharedDocumentTest, AttachFindsWhatCreateMade) {
  ASSERT_TRUE(document_.Write("text").ok());
  const auto attached = SharedDocument::Attach(mapping_.get(), mapping_.size());
  ASSERT_TRUE(attached.ok()) << attached.status();
  EXPECT_EQ(ReadText(*attached), "text");
}

TEST_F(SharedDocumentTest, AttachRefusesForeignAndCutMemory) {
  const auto refused = [](void* memory, size_t size) {
    return SharedDocument::Attach(memory, size).status().code() ==
           absl::StatusCode::kFailedPrecondition;
  };
  SharedMapping zeroes(mapping_.size());
  EXPECT_TRUE(refused(zeroes.get(), zeroes.size()));
  EXPECT_TRUE(refused(mapping_.get(), 0));
  EXPECT_TRUE(refused(mapping_.get(), mapping_.size() - 1));
  static_cast<uint64_t*>(mapping_.get())[1] = UINT64_MAX - 100;  // capacity
  EXPECT_TRUE(refused(mapping_.get(), mapping_.size()));
}

// Text number n: its length and every byte follow from the number.
std::string MadeUpText(uint64_t n) {
  std::string text(sizeof(n) + n * 7919 % (kDocumentBytes - sizeof(n)), ' ');
  std::memcpy(text.data(), &n, sizeof(n));
  for (size_t i = sizeof(n); i < text.size(); i++) {
    text[i] = static_cast<char>(n + i);
  }
  return text;
}

bool IsWhole(const std::string& text) {
  uint64_t n;
  if (text.size() < sizeof(n)) return false;
  std::memcpy(&n, text.data(), sizeof(n));
  return text == MadeUpText(n);
}

struct DocumentBoard {
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> writes{0};
  std::atomic<uint64_t> reads{0};
  std::atomic<uint64_t> torn{0};
};

// A text that was overtaken again and again reads as empty, never as torn.
void ReadOnce(const SharedDocument& document, DocumentBoard& board) {
  const std::string text = ReadText(document);
  if (text.empty()) return;
  if (!IsWhole(text)) board.torn++;
  board.reads++;
  SharedDocumentReader reader(&document);
  while (!reader.Read(512)) {
  }
  if (!reader.text().empty() && !IsWhole(reader.text())) board.torn++;
}

TEST_F(SharedDocumentTest, AKilledWriterLeavesTheFormerText) {
  Shared<DocumentBoard> board;
  ASSERT_TRUE(document_.Write(MadeUpText(0)).ok());
  std::vector<ForkedProcess> readers;
  for (int i = 0; i < 2; i++) {
    readers.emplace_back([&] {
      while (!board->stop) ReadOnce(document_, *board);
    });
  }
  std::mt19937 random(1);
  uint64_t version = document_.version();
  for (int kill = 0; kill < 200; kill++) {
    const uint64_t first = random();
    ForkedProcess writer([&] {
      for (uint64_t n = first;; n++) {
        if (!document_.Write(MadeUpText(n)).ok()) _exit(1);
        board->writes++;
      }
    });
    const uint64_t target = board->writes + 1 + random() % 20;
    WaitUntil([&] { return board->writes >= target; });
    const uint64_t later = random() % 20000;
    for (std::atomic<uint64_t> i{0}; i < later;) i++;
    writer.Kill();

    ASSERT_GT(document_.version(), version);
    version = document_.version();
    ASSERT_TRUE(IsWhole(ReadText(document_)));
    const uint64_t reads = board->reads;
    WaitUntil([&] { return board->reads > reads; });
  }
  board->stop = true;
  for (auto& reader : readers) EXPECT_TRUE(reader.Join());
  EXPECT_EQ(board->torn, 0u);
}

TEST_F(SharedDocumentTest, WriteMayBeKilledAtEachInstruction) {
  const std::string previous = "the previous text, long enough for some words";
  const std::string present = "the new text, of another length";
  ASSERT_TRUE(document_.Write(previous).ok());
  const SharedMapping copy(mapping_.size());
  bool shown = false;
  const uint64_t steps = StopAtEachInstruction(
      [&] { document_.Write(present).IgnoreError(); },
      [&] {
        shown |= document_.version() == 2;
        ASSERT_EQ(ReadText(document_), shown ? present : previous);

        std::memcpy(copy.get(), mapping_.get(), mapping_.size());
        auto successor = SharedDocument::Attach(copy.get(), copy.size());
        ASSERT_TRUE(successor.ok());
        ASSERT_TRUE(successor->Write("third").ok());
        ASSERT_EQ(ReadText(*successor), "third");
      });
  if (steps == 0) GTEST_SKIP() << "this system forbids ptrace()";
  EXPECT_TRUE(shown);
}

TEST_F(SharedDocumentTest, ThreadsNeverReadATornText) {
  DocumentBoard board;
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; i++) {
    readers.emplace_back([&] {
      while (!board.stop) ReadOnce(document_, board);
    });
  }
  for (uint64_t n = 1; n < 5000 || board.reads < 100; n++) {
    EXPECT_TRUE(document_.Write(MadeUpText(n)).ok());
  }
  board.stop = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(board.torn, 0u);
}

}  // namespace
}  // namespace dynweight
