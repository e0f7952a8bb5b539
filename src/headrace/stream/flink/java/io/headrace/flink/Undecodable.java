package io.headrace.flink;

/** Bytes that are not a record of their schema, with the reason; the texts are those of the Python decoder. */
final class Undecodable extends Exception {
    private static final long serialVersionUID = 1L;

    static final Undecodable TOMBSTONE = new Undecodable("it has no value (a tombstone)");
    static final Undecodable UNFRAMED = new Undecodable("it has no schema id before it");
    static final Undecodable SHORT = new Undecodable("it ends too early");
    static final Undecodable LONG = new Undecodable("bytes are left behind it");
    static final Undecodable NUMBER = new Undecodable("a number is longer than 64 bits");
    static final Undecodable LENGTH = new Undecodable("a length is negative");
    static final Undecodable BOOLEAN = new Undecodable("a boolean is neither 0 nor 1");
    static final Undecodable BRANCH = new Undecodable("a union or an enum has no such branch");
    static final Undecodable TEXT = new Undecodable("a text is not UTF-8");
    static final Undecodable UNRESOLVED = new Undecodable("it does not resolve to the reader's schema");
    static final Undecodable DEEP = new Undecodable("it is nested too deeply");

    Undecodable(String reason) {
        super(reason, null, false, false); // without a stack trace: a flood of bad records must be cheap
    }

    static Undecodable unknown(int id) {
        return new Undecodable("no schema has the id " + Integer.toUnsignedString(id));
    }
}
