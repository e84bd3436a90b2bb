"""Every bound of artstore, with the relations between them asserted at import [I9].

Formats depend on the values marked *format*: changing one needs a new format number.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB

# --- chunking (format: chunker_id 1)
CHUNK_BYTES_MIN = 16 * KIB
CHUNK_BYTES_TARGET = 64 * KIB
CHUNK_BYTES_MAX = 256 * KIB
HINT_BYTES_MAX = 16 * MIB  # of headers read from one file to find format-aware starts
HINT_STARTS_MAX = 1 << 17  # format-aware starts of one file; the kernel walks them at each call
HINT_STEPS_MAX = 1 << 21  # values looked at in these headers: about a second

# --- packs and frames (format)
FRAME_RAW_BYTES_MAX = (1 << 24) - 1  # u24
ZSTD_WINDOW_BYTES_MAX = 1 << 24  # of a stored zstd frame: a reader makes room for it, whatever the object's size
FRAME_STORED_BYTES_MAX = (1 << 24) - 1  # u24
PACK_BYTES_TARGET = 64 * MIB  # a data pack is sealed once it holds this much
PACK_BYTES_MAX = 96 * MIB
PACK_ENTRIES_MAX = 1 << 16
METAPACK_BYTES_TARGET = 8 * MIB
TRAILER_BYTES = 64
TABLE_ENTRY_BYTES = 40
FRAME_HEADER_BYTES = 44

# --- encryption (format)
SEAL_SEGMENT_BYTES = 64 * KIB  # sealed and opened as one; a read of less opens this much
STRETCH_LANES_MAX = 64
KEY_SLOTS_MAX = 64  # passphrases of one store; a wrong one is tried with each
KEY_EPOCHS_MAX = 10_000
KEYRING_STEPS_MAX = 1 << 16  # changes that one keyring may be ahead of another
KEYRING_SERIAL_MAX = 1 << 62
KEYRINGS_BEFORE_MAX = 256  # that a keyring knows of those which it was made from
KEYRING_BYTES_MAX = MIB
KEY_LABEL_BYTES_MAX = 200
PASSPHRASE_BYTES_MAX = 1024
STRETCH_MEMORY_KIB = 64 * KIB  # Argon2id as RFC 9106, section 4 recommends it where memory is dear
STRETCH_PASSES = 3
STRETCH_LANES = 4
STRETCH_MEMORY_KIB_MAX = 4 * GIB // KIB  # a keyring that asks for more isn't believed
STRETCH_PASSES_MAX = 64
SEALED_OBJECTS_KNOWN_MAX = 4096  # whose derived keys are remembered
REMOTE_SWAPS_MAX = 20  # tries to replace a document that others replace, too
SEALED_NAME_STEP_BYTES = 32  # names of refs are padded to a multiple of it
SEALED_NAME_PART_CHARS_MAX = 200  # of a sealed name between two slashes: a folder is a remote, too

# --- pages (format)
PAGE_ENTRIES_MIN = 128
PAGE_ENTRIES_MEAN = 512
PAGE_ENTRIES_MAX = 2048
PAGE_BYTES_MAX = 256 * KIB
PAGE_LEVELS_MAX = 12  # 128**12 entries; a deeper page is not ours

# --- documents (format)
DOCUMENT_BYTES_MAX = 4 * MIB
MESSAGE_BYTES_MAX = 64 * KIB
PARENTS_MAX = 16
METADATA_KEYS_MAX = 10_000
METADATA_KEY_BYTES_MAX = 1024
METADATA_VALUE_BYTES_MAX = 64 * KIB
INPUTS_MAX = 10_000
PERSON_BYTES_MAX = 1024  # of an author, of who moved a ref, of a host's name
ERASURE_IDS_MAX = 100_000  # chunk ids in one record of refs.log

# --- names and trees
NAME_BYTES_MAX = 255  # of one file name, as in Linux
SIZE_MAX = (1 << 63) - 1  # bytes of a file or directory; files below a directory
SYMLINK_BYTES_MAX = 4096
REF_BYTES_MAX = 400
PATH_DEPTH_MAX = 256  # directories below each other; each holds a descriptor while its content is read
ID_PREFIX_HEX_MIN = 8
ID_CANDIDATES_MAX = 1024  # objects looked at for an id prefix
REF_BYTES_SPARE = 20  # of a ref's bytes that an artifact leaves for "/v" and a number
REVISION_STEPS_MAX = 64
ANCESTORS_MAX = 1_000_000  # parents followed by all of a revision's ~N

# --- commit pipeline
BATCH_BYTES = 8 * MIB  # one buffer of file data; must hold a whole chunk besides the rest
COMMIT_AHEAD_BYTES_MIN = MIB  # of a file that are still to come: less is read when it is its turn
BATCH_FILES_MAX = 4096
BATCHES_MAX = 8  # buffers in all, over all threads
BATCHES_ON_THE_WAY_MAX = 16  # batches in all, those without a buffer included
NOTES_BYTES_MAX = 8 * MIB  # of rows for the index that wait for a metadata pack; about
DRY_RUN_IDS_MAX = 1 << 19  # new chunks that a dry run remembers; it counts those it forgot again
WORKERS_MAX = 16
HOLE_RUN_MAX = 100_000  # equal chunks of a hole passed on at once
CHANGED_RETRIES = 3
CHANGED_PATHS_MAX = 100  # paths of changing files that a version names; more are counted
SCAN_NAMES_MAX = 200_000  # names of one directory sorted in memory; more are sorted on disk
TROUBLE_PATHS_MAX = 1000  # paths listed for one reason; more are counted
ARTIGNORE_BYTES_MAX = MIB
IGNORE_PATTERN_BYTES_MAX = 4096
RACY_NS = 2_000_000_000  # stat rows as young as this are not trusted
PROBE_EVERY = 32  # one chunk of so many tells whether data is worth compressing
PROBE_SAVED_MIN = 0.03  # part of its size that a probe chunk must save

# --- reading
CACHE_BYTES = 64 * MIB  # decoded chunks kept by one Store
PAGE_CACHE_ENTRIES = 256  # decoded pages kept by one Store
READ_RANGE_BYTES_MAX = 16 * MIB
READ_HOLE_BYTES_MAX = 256 * KIB
PACKS_OPEN_MAX = 128  # descriptors of sealed packs kept by one Store
PACK_USES_PER_LOOK = 256  # of these descriptors, before it is seen which of the packs are deleted
READ_BUFFERS_MAX = 1024  # filled by one read: IOV_MAX
READ_LOCAL_HOLE_BYTES_MAX = 32 * KIB  # read over in a pack of this machine rather than asked for in two reads
READ_ROOM_SPARE = 8192  # beside a read past the page cache, which is widened to whole pages at both ends
READ_DIRECT_BYTES_MIN = 256 * KIB  # what is shorter goes through the page cache
READ_AHEAD_BYTES = 2 * MIB  # raw bytes fetched at once for a reader
READ_WINDOW_CHUNKS = 512  # chunks of an open file looked up in its recipe at once
READ_WINDOWS_MAX = 32  # such runs of chunks remembered by an open file

# --- checkout
DIRECT_BLOCK_BYTES = 4 * MIB  # of a pack, written past the page cache in one go
DIRECT_BLOCKS_KEPT = 3  # two packs are written at once, and one is made durable
RESTORE_BATCH_BYTES = 2 * MIB  # raw bytes that a worker fetches, checks and writes at once
RESTORE_BATCH_FILES_MAX = 256
RESTORE_TASKS_PER_WORKER = 4  # batches waiting
RESTORE_FOLDERS_OPEN = 128  # descriptors of destination folders kept
CONFLICTS_NAMED_MAX = 10  # files named by a refusal to overwrite

# --- comparing and measuring
COMPARED_CHUNKS_MAX = 1 << 20  # ids of one file held while two are compared; of longer files, a part at a time
USAGE_IDS_MAX = 1 << 20  # ids held while versions are measured; more are sorted on disk

# --- index
INDEX_MAP_BYTES = 1 << 40  # sparse; never grown
INDEX_READERS_MAX = 1024
INDEX_BATCH = 4096

# --- refs and collection
ALIAS_MOVES_KEPT = 32  # moves of an alias whose targets are roots of collection
ABANDONED_NS = 24 * 3600 * 1_000_000_000  # temporary files as old as this belong to nobody
UNDO_NS = 7 * 24 * 3600 * 1_000_000_000
SWEEP_EVERY_NS = 24 * 3600 * 1_000_000_000  # between two looks for shortcuts that lead nowhere
SWEEP_ROWS = 256  # of the stat cache held at once: each may be a block of a directory's rows
STAT_UNSEEN_NS = 90 * 24 * 3600 * 1_000_000_000  # rows of a folder that can't be seen are kept so long
REPACK_LIVE_MIN = 0.6  # packs with a smaller live part are rewritten
ROLLBACK_MOVES_MAX = 4096  # newest moves of an alias that a rollback looks at
SIMILAR_NAMES_MAX = 10_000  # refs compared with a name that was not found
RENAME_ENTRIES_MAX = 100_000  # added and removed entries held by a comparison to find renamed ones
HISTORY_MOVES_HELD = 1024  # moves of one alias held while its history is told from its beginning
REFS_LOG_RECORD_BYTES_MAX = DOCUMENT_BYTES_MAX + 4096
UNDO_RECORD_BYTES_MAX = 16 * MIB  # of the journal: a collected version with its set
COLLECT_IDS_MAX = 1 << 19  # ids held while it is found out what is live; more are sorted on disk
COLLECT_PAGES_MAX = 1 << 19  # pages remembered as visited; forgetting them costs time only
REPACK_IDS_MAX = 1 << 18  # live objects of the packs that are rewritten together
PURGE_IDS_MAX = 1 << 20  # chunks erased by one purge
SHARERS_NAMED_MAX = 1000  # other paths listed that hold a chunk which a purge keeps

# --- check, repair, rebuild
CHECK_PROBLEMS_MAX = 10_000  # told one by one; more are counted
CHECK_PACK_FRAMES_TOLD_MAX = 100  # damaged objects of one pack told one by one
CHECK_PAGES_REMEMBERED = 1 << 19  # sound pages that several versions share, looked through once
CHECK_STAMP_PACKS = 64  # packs after which a check of data notes how far it is
CHECK_ERASED_IDS_HELD = 1 << 18  # ids of purged chunks compared at once between index and refs.log
FAR_CHECK_NOTE_S = 10.0  # between two notes how far a check of a remote's data is
FAR_CHECK_WHY_BYTES_MAX = 500  # noted of why a pack is damaged
FAR_CHECK_PATHS_PACKS_MAX = 64  # damaged packs whose objects are looked at one by one, so that paths can be told
LOST_IDS_MAX = 1 << 16  # ids in one record of what was lost
REFILL_IDS = 64  # lost objects that are asked for together
REBUILD_PACKS_PER_WRITE = 64
REBUILD_ROUNDS_MAX = 8  # times that a rebuild takes in what appeared meanwhile

# --- memory of the command line's process (artstore/adapters/allocator.py)
HEAP_BLOCK_BYTES_MAX = 32 * MIB  # greater blocks are mapped from the kernel; glibc's own ceiling
HEAP_KEPT_BYTES_MAX = 64 * MIB  # freed memory kept at the heap's top

# --- mount
MOUNT_DURATION_BITS = 36  # durations up to 2**36 ns, 69 s, are told apart; about
MOUNT_SLOW_S = 1.0  # a request that takes so long is listed by name
MOUNT_TROUBLES_TOLD_MAX = 100  # broken reads and slow requests listed; more are counted
MOUNT_MEMORY_BYTES_MIN = 16 * MIB  # of decoded chunks that a mount may keep
MOUNT_MEMORY_BYTES_MAX = 1 << 44
MOUNT_READ_AHEAD_KIB_MAX = 16 * KIB  # of the kernel's own readahead
MOUNT_POLL_S_MAX = 3600.0  # until a mount sees that names have changed
MOUNT_TASKS_MAX = 99  # requests worked on at once
MOUNT_NOTICES_MAX = 1 << 16  # changed names that the kernel is still to be told of
MOUNT_PUSHED_BYTES_MAX = 16 * MIB  # of decoded neighbours on their way into the kernel's cache
USER_ID_MAX = (1 << 32) - 2  # of an owner or group
MOUNT_READY_S_MAX = 60.0  # from the start of a mount until it answers
MOUNT_END_S_MAX = 5.0  # that requests under way may take when a mount ends
MOUNT_PROBE_S = 10.0  # between two looks of the supervisor, and the longest that one may take
MOUNT_PROBE_AGAIN_S = 1.0  # until the next look after one that was not answered
MOUNT_PROBE_FAILURES_MAX = 3  # unanswered looks in a row
MOUNT_DUMP_S = 1.0  # that a mount which hangs has to write its stacks
MOUNT_RESTARTS_MAX = 5  # of one mount within MOUNT_RESTART_WINDOW_S
MOUNT_RESTART_WINDOW_S = 300.0
MOUNT_VANISH_S = 1.0  # that the mount of a killed process has to go by itself
MOUNT_LOOK_S = 2.0  # that a command waits for a mount to answer
MOUNT_STACKED_MAX = 16  # dead mounts on top of each other that are cleared
MOUNT_HOLDERS_TOLD_MAX = 10  # processes named that keep a mount busy
MOUNT_LOG_BYTES_MAX = 4 * MIB  # of one log file; one older one is kept
MOUNT_REPORT_BYTES_MAX = 64 * KIB  # of what a starting mount reports
MOUNT_THREADS_MAX = 16  # that fetch and decode
MOUNT_FOLLOW_S_MAX = 300.0  # between two looks at a remote that can't be reached
MOUNT_FOLLOW_S = 10  # between two looks at a remote that is mounted
MOUNT_FAR_THREADS = 16  # that read, where most of what is read comes over a network
MOUNT_CLOSE_S = 10.0  # that closing waits for what these threads are at
MOUNT_BATCH_BYTES = 512 * KIB  # raw bytes of neighbouring chunks that one of them fetches at once
MOUNT_AT_ONCE_BYTES_MAX = 256 * KIB  # decoded by the thread that serves the requests; more is left to the others
MOUNT_AHEAD_QUEUE_MAX = 512  # batches waiting to be fetched ahead of readers; what comes then is left out
MOUNT_STREAMS_MAX = 8  # sequential readers told apart within one file
MOUNT_AHEAD_BYTES_START = MIB  # fetched ahead of a reader who has just begun
MOUNT_AHEAD_BYTES_MIN = 128 * KIB  # the same after many seeks
MOUNT_AHEAD_BYTES_MAX = 8 * MIB  # fetched ahead of a reader who goes straight on for long
MOUNT_STRETCH_BYTES = 2 * MIB  # of a file that are fetched ahead together
MOUNT_AHEAD_SHARE = 4  # one part in so many of the memory is for what was fetched ahead, over all readers
MOUNT_AHEAD_IDLE_S = 1.0  # that nobody used what was fetched ahead, until others may have its room
MOUNT_DISORDER_BYTES = MIB  # that the requests of a sequential reader may be out of order
MOUNT_JUMP_BYTES_MAX = 128 * KIB  # between the first two requests of a sequential reader
MOUNT_WINDOW_BYTES = 32 * MIB  # of a file: the part of its recipe that is looked up at once
MOUNT_WINDOW_CHUNKS_MAX = 4096  # of such a part; more are looked up again each time
MOUNT_WINDOWS_MAX = 256  # such parts remembered of an open file
MOUNT_TOPS_MAX = 1 << 14  # versions whose own folder is remembered
MOUNT_PAGES_MAX = 64  # pages of folders kept decoded
MOUNT_STORED_BYTES = 16 * GIB  # of a file, whose chunk ids are held at once to count them
MOUNT_LISTING_ENTRIES = 1024  # entries of a folder brought to memory at once
MOUNT_STATFS_S = 60.0  # that the size told of a store may be old
MOUNT_MISSES_NOTED_MAX = 64  # random reads of an open file whose neighbours may still be asked for

# --- remotes
REMOTE_ATTEMPTS_MAX = 8  # of one request
REMOTE_DELAY_S_MIN = 0.2  # that the first pause between two attempts is at most
REMOTE_DELAY_S_MAX = 20.0
REMOTE_DOUBLINGS_MAX = 16
REMOTE_CONNECT_S_MAX = 10.0
REMOTE_READ_S_MAX = 60.0  # between two parts of an answer
REMOTE_CONNECTIONS_MAX = 64
REMOTE_KEY_BYTES_MAX = 900  # S3 takes 1024 with the prefix
REMOTE_PREFIX_BYTES_MAX = 100
REMOTE_NAME_BYTES_MAX = 64
REMOTE_URL_CHARS_MAX = 4096
REMOTE_LOOKS_MAX = 2  # attempts to ask another remote than home who is home, before a ref is written there
REMOTE_COPIES_AT_ONCE = 256  # names that are copied to a mirror together: their sets are held in memory
REMOTE_MARKS_MAX = 4  # attempts to say who is home, when others say it too
REMOTE_DOCUMENT_BYTES_MAX = 64 * MIB
REMOTE_SHARD_BYTES_MAX = 64 * MIB
REMOTE_GRACE_S = 24 * 3600  # from a pack's listing to its deletion
REMOTE_GRACE_S_MIN = 600  # services tell whole seconds, and a push asks for one thing after the other
REMOTE_GRACE_S_MAX = 366 * 24 * 3600
REMOTE_HOLD_S = 3600  # beyond half of the grace, for which a remote may be held by one who collects at once
REMOTE_HOLD_LOOK_S = 300  # between two looks at it while he waits
REMOTE_PIN_PARTS = 4  # how often in a short grace a running push says its pin again
REMOTE_SMALL_PACK_BYTES = MIB  # packs at a remote that are smaller are put together,
REMOTE_SMALL_PACKS_MIN = 16  # once there are so many of a kind: else each run would rewrite the same ones
REMOTE_REPACK_IDS_MAX = 1 << 20  # of objects of packs at a remote, held while it is found out which are needed
REMOTE_REPACK_ROUND_IDS_MAX = 1 << 17  # needed objects of the packs that are rewritten together
REMOTE_REPACK_ROUND_BYTES_MAX = 4 * 1024 * MIB  # of these: what is lost if a repack is killed
REMOTE_REPACK_PACKS_MAX = 1 << 16  # packs that one repack rewrites
REMOTE_SET_SWAPS_MAX = 4  # attempts to replace one set, when others replace it
REMOTE_LISTED_MAX = 1 << 17  # packs that collection has listed at once: every push reads of them
REMOTE_DELETES = 16  # objects that collection deletes at once
REMOTE_TRANSFERS_START = 4  # packs sent or fetched at once, until it is known what the way bears
REMOTE_TRANSFERS_MIN = 1
REMOTE_TRANSFERS_MAX = 32
REMOTE_HELD_BYTES_MAX = 512 * MIB  # of packs that are sent or fetched at once: each is held in memory
REMOTE_WINDOW_S = 0.5  # over which it is measured how much passes
REMOTE_SMALL_REQUESTS = 16  # documents asked for at once
REMOTE_RELATED_MAX = 16  # versions at a remote whose packs are looked through for what is there already
REMOTE_SHARD_IDS_MAX = 4_000_000  # ids of objects at a remote held in memory at once
REMOTE_PUSHES_MAX = 3  # beginnings of one push, when packs that were thought to be there are not
REMOTE_MOVES_MAX = 16  # attempts to move one alias at a remote, when others move it
REMOTE_REPAIRS_MAX = 16  # rounds of one repair, each of which may show what the one before has brought to light
REMOTE_NUMBERS_MAX = 256  # attempts to get a number for one tag there, when others take them
REMOTE_SHARD_PACKS_MAX = 64  # packs in one shard
REMOTE_SHARD_TABLES_BYTES_MAX = 32 * MIB  # of their tables, before a shard is closed
REMOTE_SAVED_MIN = 0.1  # part of a pack's bytes that must be saved, else it is sent whole
REMOTE_SAVED_BYTES_MIN = 256 * KIB  # the same, in bytes
REMOTE_PIN_S = 3600  # after which a running push says again which packs it relies on
REMOTE_CHECK_WRITERS = 16  # that race for one name in the self-test
REMOTE_CHECK_ROUNDS = 20

REMOTE_RETRY_AFTER_S_MAX = 300.0  # that a service is left alone if it asks for that
REMOTE_SIZE_LISTS_MAX = 64  # listings made to learn how much is to come
TRANSFER_PIECE_BYTES_MIN = 4 * KIB  # of a body, sent or read at once
TRANSFER_PIECE_BYTES_MAX = 256 * KIB
RATE_BYTES_S_MIN = 10_000  # of --limit-rate: below it services take a connection for dead
RATE_BYTES_S_MAX = 1 << 50
RATE_BURST_S = 0.1  # that may be made up for when less has moved than was allowed
RATE_PIECE_S = 0.05  # of a rate: the pieces that a body moves in

# --- reading from remotes
FAR_REQUEST_BYTES = 8 * MIB  # asked for at once; what is wanted beyond that comes in other requests, in parallel
FAR_BLOCK_BYTES = 4096  # of a file system: ranges of remotes are fetched in whole ones
FAR_SLACK_BYTES = 4 * MIB  # that the reads of several threads which go through a pack together may be out of order
FAR_AHEAD_BYTES_MIN = 2 * MIB  # fetched ahead of a reader who has just gone on
FAR_AHEAD_BYTES_MAX = 64 * MIB  # fetched ahead of a reader who has long gone straight on
FAR_STREAMS_MAX = 256  # packs in which readers are recognised
FAR_FLIGHT_BYTES_MAX = 256 * MIB  # on the way from remotes at once, of what was asked for ahead of readers
FAR_THREADS_MAX = 16  # that fetch
FAR_RECENT_VERSIONS = 64  # versions opened lately, whose shards are looked through for what isn't found
FAR_ASK_AGAIN_S = 30.0  # until a version's set, which told nothing of what was looked for, is asked for again
FAR_ASKED_MAX = 1 << 16  # sets of which a process remembers when it asked for them
FAR_AVOIDED_MAX = 1 << 16  # damaged copies at remotes that a process remembers
FAR_PACKS_PER_WRITE = 16  # packs of a shard that are entered together
FAR_REST_S = 60.0  # that a remote which didn't answer isn't asked, where another one has what is wanted
FAR_ATTEMPTS_MAX = 3  # look-ups of a chunk whose pack was gone when it was asked for
CACHE_DISK_SHARE = 10  # the cache takes one part in so many of its disk, unless the config says otherwise
CACHE_DISK_BYTES_MAX = 100 * 10**9
CACHE_FREE_SHARE = 20  # and leaves one part in so many of the disk free
CACHE_LOOK_BYTES = 64 * MIB  # written into the cache between two looks at what it takes
CACHE_OFF_S = 60.0  # that nothing is kept after the cache could not be written
CACHE_NOTED_MAX = 1 << 16  # packs of which a process remembers when it noted that
CACHE_USE_S = 60.0  # between two notes that a pack is in use
PREFETCH_IDS = 1 << 16  # chunks that are looked up together

# --- the daemon
WATCH_SETTLE_S = 2.0  # that a folder has to be quiet before it is committed
WATCH_EVERY_S = 900.0  # that one which never is may wait
WATCH_POLL_S = 30.0  # between two looks at a folder of whose changes the system doesn't tell
WATCH_LOOK_S = 2.0  # between two looks whether a folder is there
WATCH_RESCAN_S = 3600.0  # after which a folder is looked through, whatever was heard
WATCH_FOLDERS_MAX = 1 << 20  # below one watched folder, of whose changes the system is asked to tell
WATCH_PARTS_MAX = 1 << 14  # sub-folders of one folder that become versions of their own
SENDING_LOOK_S = 60.0  # between two looks at the clock on the wall
FOLLOW_POLL_S = 10.0  # between two looks at what an alias names
FOLLOW_POLL_S_MIN = 1.0
FOLLOW_POLL_S_MAX = 300.0  # the same, while the remote can't be reached
FOLLOW_RETURNS_MAX = 3  # to a version before, that fail in a row; then what the alias names is tried instead
HOOK_S_MAX = 300.0  # that a follower's hook may take
HOOK_SAID_BYTES = 4 * KIB  # of its errors, from their end
API_BODY_BYTES_MAX = MIB
API_CALLS_MAX = 8  # of the store at once
API_CONNECTIONS_MAX = 128  # at once, on one socket: further ones are hung up on
API_EVENTS_S = 15.0  # after which a stream of events says that it is there
API_IDLE_S = 60.0  # that a connection may be silent
API_STOP_S = 2.0  # that requests may take to end
DESKTOP_S = 5.0  # that whoever shows notifications may take to answer
DESKTOP_CHARS_MAX = 500  # of a notification
DAEMON_RETRY_S_MIN = 1.0  # until what failed is tried again
DAEMON_RETRY_S_MAX = 300.0
DAEMON_STOP_S = 10.0  # that what is under way may take to end
DAEMON_HAPPENINGS_KEPT = 1000

# --- command line
SOURCE_PROBE_S = 5.0  # that a git command may take to describe the folder of a commit
PROGRESS_HZ = 10  # how often counters are polled on a terminal
PROGRESS_PLAIN_S = 5.0  # between two plain lines when there is no terminal
SUGGESTIONS_MAX = 5  # close matches named in an error
PATHS_SHOWN_MAX = 10  # per version, by a command that tells what would go
PATHS_LISTED_MAX = 1000  # the same, as JSON or with -v
DURATION_S_MAX = 100 * 366 * 86_400  # of options such as --keep-within

assert CHUNK_BYTES_MIN < CHUNK_BYTES_TARGET < CHUNK_BYTES_MAX <= FRAME_RAW_BYTES_MAX
assert FRAME_RAW_BYTES_MAX <= ZSTD_WINDOW_BYTES_MAX
assert 2 * CHUNK_BYTES_MAX <= BATCH_BYTES
assert BATCHES_MAX <= BATCHES_ON_THE_WAY_MAX
assert PACK_BYTES_TARGET + 2 * BATCH_BYTES <= PACK_BYTES_MAX
assert PAGE_ENTRIES_MIN < PAGE_ENTRIES_MEAN < PAGE_ENTRIES_MAX
assert PAGE_BYTES_MAX <= METAPACK_BYTES_TARGET
assert DOCUMENT_BYTES_MAX <= FRAME_RAW_BYTES_MAX
assert NAME_BYTES_MAX < SYMLINK_BYTES_MAX < PAGE_BYTES_MAX
assert 2 * REF_BYTES_SPARE < REF_BYTES_MAX
assert MOUNT_AHEAD_BYTES_MIN <= MOUNT_AHEAD_BYTES_START <= MOUNT_AHEAD_BYTES_MAX
assert CHUNK_BYTES_MAX < MOUNT_BATCH_BYTES <= READ_RANGE_BYTES_MAX
assert REMOTE_SHARD_TABLES_BYTES_MAX + PACK_ENTRIES_MAX * TABLE_ENTRY_BYTES + 2 * MIB <= REMOTE_SHARD_BYTES_MAX
assert 2 * REMOTE_PIN_S < REMOTE_GRACE_S
assert REMOTE_GRACE_S_MIN <= REMOTE_GRACE_S <= REMOTE_GRACE_S_MAX
assert REMOTE_PIN_PARTS >= 2  # a pin that is a little late still counts
assert REMOTE_SMALL_PACKS_MIN > 1
assert PACK_ENTRIES_MAX <= REMOTE_REPACK_IDS_MAX
assert REMOTE_TRANSFERS_MIN <= REMOTE_TRANSFERS_START <= REMOTE_TRANSFERS_MAX <= REMOTE_CONNECTIONS_MAX
assert PACK_BYTES_MAX <= REMOTE_HELD_BYTES_MAX
# Each connection moves a piece often enough for services that close what is silent.
assert REMOTE_TRANSFERS_MAX * TRANSFER_PIECE_BYTES_MIN <= RATE_BYTES_S_MIN * REMOTE_READ_S_MAX / 2
assert 40 * ERASURE_IDS_MAX <= DOCUMENT_BYTES_MAX
assert READ_HOLE_BYTES_MAX < FAR_REQUEST_BYTES <= READ_RANGE_BYTES_MAX
assert FAR_AHEAD_BYTES_MIN <= FAR_REQUEST_BYTES <= FAR_AHEAD_BYTES_MAX <= FAR_FLIGHT_BYTES_MAX
