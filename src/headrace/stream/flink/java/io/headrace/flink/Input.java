package io.headrace.flink;

import java.util.Arrays;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.binary.BinaryStringData;

/**
 * One message, read from left to right by Avro's binary encoding. Nothing is kept from one message to the next.
 *
 * <p>Source: Apache Avro 1.11 specification, "Binary Encoding".
 */
final class Input {
    private static final int DEEPEST = 64;
    private static final int ITEMS = 65_536;

    private final byte[] bytes;
    private int at;
    private int depth;

    Input(byte[] bytes, int at) {
        this.bytes = bytes;
        this.at = at;
    }

    int place() {
        return at;
    }

    void back(int place) {
        at = place;
    }

    boolean atEnd() {
        return at == bytes.length;
    }

    void enter() throws Undecodable {
        if (++depth > DEEPEST) {
            throw Undecodable.DEEP;
        }
    }

    void leave() {
        depth--;
    }

    boolean readBoolean() throws Undecodable {
        require(1);
        byte found = bytes[at++];
        if (found != 0 && found != 1) {
            throw Undecodable.BOOLEAN;
        }
        return found == 1;
    }

    /** An int or a long. */
    long readLong() throws Undecodable {
        long raw = 0;
        for (int shift = 0; shift < 64; shift += 7) {
            require(1);
            byte found = bytes[at++];
            raw |= (long) (found & 0x7F) << shift;
            if (found >= 0) {
                if (shift == 63 && found > 1) {
                    throw Undecodable.NUMBER;
                }
                return raw >>> 1 ^ -(raw & 1);
            }
        }
        throw Undecodable.NUMBER;
    }

    float readFloat() throws Undecodable {
        require(4);
        int raw = 0;
        for (int place = 3; place >= 0; place--) {
            raw = raw << 8 | bytes[at + place] & 0xFF;
        }
        at += 4;
        return Float.intBitsToFloat(raw);
    }

    double readDouble() throws Undecodable {
        require(8);
        long raw = 0;
        for (int place = 7; place >= 0; place--) {
            raw = raw << 8 | bytes[at + place] & 0xFF;
        }
        at += 8;
        return Double.longBitsToDouble(raw);
    }

    /** The branch of a union, or the symbol of an enum. */
    int readBranch(int count) throws Undecodable {
        long branch = readLong();
        if (branch < 0 || branch >= count) {
            throw Undecodable.BRANCH;
        }
        return (int) branch;
    }

    /** The length of bytes or a text that are all there. */
    int readLength() throws Undecodable {
        long length = readLong();
        if (length < 0) {
            throw Undecodable.LENGTH;
        }
        if (length > bytes.length - at) {
            throw Undecodable.SHORT;
        }
        return (int) length;
    }

    /** The number of items in the next block of an array or a map; 0 after the last. */
    long readCount() throws Undecodable {
        long count = readLong();
        if (count < 0) {
            readLong(); // the block's size, for readers that skip it
            count = -count;
        }
        if (count < 0 || count > Math.max(bytes.length - at, ITEMS)) {
            throw Undecodable.SHORT; // items without bytes could keep a reader busy for ever
        }
        return count;
    }

    /** A text that refers to the message's bytes. */
    StringData readText(int length) throws Undecodable {
        require(length);
        if (!Utf8.valid(bytes, at, at + length)) {
            throw Undecodable.TEXT;
        }
        at += length;
        return BinaryStringData.fromBytes(bytes, at - length, length);
    }

    byte[] readBytes(int length) throws Undecodable {
        require(length);
        at += length;
        return Arrays.copyOfRange(bytes, at - length, at);
    }

    private void require(int length) throws Undecodable {
        if (length > bytes.length - at) {
            throw Undecodable.SHORT;
        }
    }
}
