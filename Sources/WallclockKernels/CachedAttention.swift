import CWallclockKernels
import WallclockCore

extension AttentionOperator {
  /// Queries of a batch of sequences, each to its own keys in `cache`: decode where a sequence has one query, a piece
  /// of prefill where it has several. The last query of a sequence stands beside the last key of it.
  ///
  /// Work is shared by (sequence, head of keys, block of queries, part of the keys); the parts' results are merged in
  /// order, so that the result depends on the knob `split` and not on the workers.
  /// - Parameters:
  ///   - starts: `cache.sequences + 1` row numbers, ascending from 0: the queries of sequence `s` are rows
  ///     `starts[s] ..< starts[s + 1]`.
  ///   - q: rows of `heads · headDim` f32, `ldq` apart; `heads` is a multiple of the cache's.
  ///   - o: the same, `ldo` apart; overwritten.
  package func run(
    starts: Span<Int>, cache: KVCache, heads: Int, q: UnsafePointer<Float>, ldq: Int, o: UnsafeMutablePointer<Float>,
    ldo: Int, scale: Float, mask: Mask, workspace: AttentionWorkspace, on executor: any Executor
  ) {
    precondition(starts.count == cache.sequences + 1, "one range of queries for each sequence of the cache")
    precondition(heads % cache.kvHeads == 0, "heads of queries are a multiple of the cache's")
    precondition(cache.kernel.name == kernel.name, "the cache is laid out for \(cache.kernel.name), not \(kernel.name)")
    let (sequences, kvHeads, headDim) = (cache.sequences, cache.kvHeads, cache.headDim)
    let group = heads / kvHeads
    var longest = 0
    for s in 0..<sequences { longest = max(longest, starts[s + 1] - starts[s]) }
    let mostKeys = cache.lengths.max() ?? 0
    guard longest > 0, group > 0 else { return }
    let memory = unsafe kernel.row.pointee.attention_memory!
    let attention = unsafe kernel.row.pointee.attention!
    let workers = executor.workerCount
    let scratchBytes = reserveScratch(in: workspace, group: group, headDim: headDim, workers: workers)
    let positions = max(1, bq / group)
    let qBlocks = (longest + positions - 1) / positions
    let partKeys = split == 0 ? max(1, mostKeys) : (split + kernel.nr - 1) / kernel.nr * kernel.nr
    let parts = max(1, (mostKeys + partKeys - 1) / partKeys)
    // For each (sequence, head, part) the rows of the longest sequence, with their maxima and sums.
    let rowFloats = headDim + 2
    let partFloats = longest * group * rowFloats
    if parts > 1, workspace.parts.count < sequences * kvHeads * parts * partFloats {
      workspace.parts = AlignedBuffer(count: sequences * kvHeads * parts * partFloats)
    }
    let partial = unsafe workspace.parts.unsafePointer
    let scratch = unsafe UnsafeMutableRawPointer(workspace.scratch.unsafePointer)
    let slopes = mask.alibi ? Mask.alibiSlopes(heads: heads) : []
    let blocks = sequences * kvHeads * qBlocks
    let lengths = cache.lengths

    unsafe slopes.withUnsafeBufferPointer { slopes in
      unsafe lengths.withUnsafeBufferPointer { lengths in
        unsafe starts.withUnsafeBufferPointer { starts in
          let common = unsafe arguments(heads: heads, group: group, headDim: headDim, scale: scale, mask: mask)
          executor.forEachRange(of: blocks * parts, grain: 1) { range, worker in
            for task in range {
              let (block, part) = (task / parts, task % parts)
              let (pair, firstQuery) = (block / qBlocks, block % qBlocks * positions)
              let (s, kvHead) = (pair / kvHeads, pair % kvHeads)
              let first = unsafe starts[s]
              let length = unsafe starts[s + 1] - first
              let keys = unsafe lengths[s]
              guard firstQuery < length, part == 0 || part * partKeys < keys else { continue }
              var args = unsafe common
              unsafe args.tk = keys
              unsafe args.tq_total = length
              unsafe args.cache = UnsafeRawPointer(cache.head(kvHead, of: s))
              unsafe args.capacity = cache.capacity
              unsafe args.k_first = part * partKeys
              unsafe args.k_end = min(keys, (part + 1) * partKeys)
              unsafe args.scratch = scratch + worker * scratchBytes
              unsafe args.slopes = mask.alibi ? slopes.baseAddress! + kvHead * group : nil
              unsafe args.q_first = firstQuery
              unsafe args.tq = min(positions, length - firstQuery)
              unsafe args.ldq = ldq
              unsafe args.q = q + (first + firstQuery) * ldq + kvHead * group * headDim
              unsafe args.ldo = ldo
              unsafe args.o = o + (first + firstQuery) * ldo + kvHead * group * headDim
              if parts > 1 {
                unsafe args.partial = partial + (pair * parts + part) * partFloats + firstQuery * group * rowFloats
              }
              _ = unsafe attention(&args)
            }
          }
          guard parts > 1 else { return }
          executor.forEachRange(of: blocks, grain: 1) { range, _ in
            for block in range {
              let (pair, firstQuery) = (block / qBlocks, block % qBlocks * positions)
              let (s, kvHead) = (pair / kvHeads, pair % kvHeads)
              let first = unsafe starts[s]
              let length = unsafe starts[s + 1] - first
              guard firstQuery < length else { continue }
              let used = unsafe max(1, (lengths[s] + partKeys - 1) / partKeys)
              _ = unsafe memory.pointee.merge(
                used, min(positions, length - firstQuery), group, headDim,
                partial + pair * parts * partFloats + firstQuery * group * rowFloats, partFloats,
                o + (first + firstQuery) * ldo + kvHead * group * headDim, ldo, headDim)
            }
          }
        }
      }
    }
  }
}
