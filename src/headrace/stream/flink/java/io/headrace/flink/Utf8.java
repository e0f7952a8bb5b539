package io.headrace.flink;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/** Strict UTF-8. Java's own decoder and Flink's strings put another character where the bytes are none. */
final class Utf8 {
    private static final VarHandle WORDS = MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.nativeOrder());
    private static final long HIGH = 0x8080808080808080L;

    private Utf8() {}

    /** Whether the bytes at [begin, end) are UTF-8: the shortest form of each character, and no surrogates. */
    static boolean valid(byte[] bytes, int begin, int end) {
        int at = begin;
        while (at < end) {
            if (end - at >= 8 && ((long) WORDS.get(bytes, at) & HIGH) == 0) {
                at += 8;
                continue;
            }
            int first = bytes[at++];
            if (first >= 0) {
                continue;
            }
            first &= 0xFF;
            int more = first < 0xC2 ? -1 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : first < 0xF5 ? 3 : -1;
            if (more < 0 || more > end - at) {
                return false;
            }
            int second = bytes[at] & 0xFF;
            if (first == 0xE0 && second < 0xA0 || first == 0xED && second > 0x9F
                    || first == 0xF0 && second < 0x90 || first == 0xF4 && second > 0x8F) {
                return false;
            }
            for (int stop = at + more; at < stop; at++) {
                if ((bytes[at] & 0xC0) != 0x80) {
                    return false;
                }
            }
        }
        return true;
    }
}
