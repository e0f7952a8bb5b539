package io.headrace.flink;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;

/**
 * How a record of one writer's schema becomes a row: Avro's schema resolution, done once for the pair of schemas.
 *
 * <p>Source: Apache Avro 1.11 specification, "Schema Resolution". All of a record is read and checked, also what no
 * column takes.
 */
final class Reading {
    private interface Step {
        Object read(Input input) throws Undecodable;
    }

    private record Target(int column, Step step) {}

    private record Pair(Schema writer, Schema reader) {}

    private static final Object ABSENT = new Object();

    private final Map<Pair, Step> nested;
    private final Target[][] targets;
    private final Object[] fallbacks;
    private final boolean resolves;

    /** columns: each the name of a field of the reader; their order is that of the row. */
    Reading(Schema writer, Schema reader, List<Column> columns) {
        this(writer, reader, columns, new HashMap<>());
    }

    private Reading(Schema writer, Schema reader, List<Column> columns, Map<Pair, Step> nested) {
        this.nested = nested;
        fallbacks = new Object[columns.size()];
        if (writer.kind != Schema.Kind.RECORD || !writer.fits(reader)) {
            targets = new Target[0][];
            resolves = false;
            return;
        }
        Map<String, Integer> places = new HashMap<>();
        for (int place = 0; place < columns.size(); place++) {
            places.put(columns.get(place).name(), place);
        }
        Map<Schema.Field, List<Target>> found = new IdentityHashMap<>();
        boolean complete = true;
        for (Schema.Field field : reader.fields) {
            Integer place = places.get(field.name());
            Column.Type type = place == null ? null : columns.get(place).type();
            Schema.Field source = writer.field(field.name(), field.aliases());
            if (source != null) {
                Target target = new Target(place == null ? -1 : place, step(source.type(), field.type(), type));
                found.computeIfAbsent(source, key -> new ArrayList<>()).add(target);
            } else if (field.fallback() == null) {
                complete = false;
            } else if (place != null) {
                fallbacks[place] = type.fallback(field.fallback());
            }
        }
        targets = new Target[writer.fields.size()][];
        for (int place = 0; place < targets.length; place++) {
            Schema.Field field = writer.fields.get(place);
            List<Target> here = found.get(field);
            here = here == null ? List.of(new Target(-1, step(field.type(), field.type(), null))) : here;
            targets[place] = here.toArray(new Target[0]);
        }
        resolves = complete;
    }

    /** Puts the record's values into the row's columns. */
    void read(Input input, GenericRowData row) throws Undecodable {
        for (int place = 0; place < fallbacks.length; place++) {
            if (fallbacks[place] != null) {
                row.setField(place, fallbacks[place]);
            }
        }
        input.enter();
        for (Target[] field : targets) {
            int begin = input.place();
            for (Target target : field) {
                input.back(begin);
                Object value = target.step.read(input);
                if (target.column >= 0) {
                    row.setField(target.column, value);
                }
            }
        }
        input.leave();
        if (!resolves) {
            throw Undecodable.UNRESOLVED;
        }
    }

    /** type: of the column that takes the value; null where none does. */
    private Step step(Schema writer, Schema reader, Column.Type type) {
        if (writer.kind == Schema.Kind.UNION) {
            return union(writer, reader, type);
        }
        if (reader.kind == Schema.Kind.UNION) {
            return reader.parts.stream().filter(writer::fits).findFirst()
                    .map(branch -> step(writer, branch, type)).orElse(Reading::unresolved);
        }
        if (!writer.fits(reader)) {
            return Reading::unresolved;
        }
        return switch (writer.kind) {
            case NULL -> input -> null;
            case BOOLEAN -> Input::readBoolean;
            case INT, LONG -> whole(writer, type);
            case FLOAT -> input -> (double) input.readFloat();
            case DOUBLE -> Input::readDouble;
            case STRING -> type == Column.Type.BYTES ? Reading::encoded : input -> input.readText(input.readLength());
            case BYTES -> reader.kind == Schema.Kind.STRING
                    ? input -> input.readText(input.readLength())
                    : input -> input.readBytes(input.readLength());
            case FIXED -> input -> input.readBytes(writer.size);
            case ENUM -> symbol(writer, reader);
            case ARRAY -> array(step(writer.parts.get(0), reader.parts.get(0), null));
            case MAP -> map(step(writer.parts.get(0), reader.parts.get(0), null));
            case RECORD -> record(writer, reader);
            case UNION -> throw new IllegalStateException();
        };
    }

    private static Object unresolved(Input input) throws Undecodable {
        throw Undecodable.UNRESOLVED;
    }

    /** A text that is read as bytes is a text all the same. */
    private static Object encoded(Input input) throws Undecodable {
        return input.readText(input.readLength()).toBytes();
    }

    private Step union(Schema writer, Schema reader, Column.Type type) {
        if (writer.parts.size() == 2 && writer.parts.get(0).kind == Schema.Kind.NULL && reader.kind == Schema.Kind.UNION) {
            Step none = step(writer.parts.get(0), reader, type);
            Step some = step(writer.parts.get(1), reader, type);
            return input -> input.readBranch(2) == 0 ? none.read(input) : some.read(input);
        }
        Step[] branches = writer.parts.stream().map(part -> step(part, reader, type)).toArray(Step[]::new);
        return input -> branches[input.readBranch(branches.length)].read(input);
    }

    private static Step whole(Schema writer, Column.Type type) {
        long divisor = switch (writer.logical) {
            case "timestamp-micros", "local-timestamp-micros" -> 1_000;
            case "timestamp-nanos", "local-timestamp-nanos" -> 1_000_000;
            default -> 1;
        };
        if (divisor != 1 && writer.kind == Schema.Kind.LONG && type != null) {
            return input -> type.whole(Math.floorDiv(input.readLong(), divisor));
        }
        return type == null ? Input::readLong : type == Column.Type.WHOLE ? Input::readLong
                : input -> type.whole(input.readLong());
    }

    private static Step symbol(Schema writer, Schema reader) {
        Object[] symbols = new Object[writer.symbols.size()];
        for (int place = 0; place < symbols.length; place++) {
            String symbol = writer.symbols.get(place);
            String known = reader.symbols.contains(symbol) ? symbol : reader.fallback;
            symbols[place] = known == null ? ABSENT : StringData.fromString(known);
        }
        return input -> {
            Object found = symbols[input.readBranch(symbols.length)];
            if (found == ABSENT) {
                throw Undecodable.UNRESOLVED;
            }
            return found;
        };
    }

    private static Step array(Step item) {
        return input -> {
            for (long count = input.readCount(); count != 0; count = input.readCount()) {
                for (long place = 0; place < count; place++) {
                    item.read(input);
                }
            }
            return null;
        };
    }

    private static Step map(Step value) {
        return array(input -> {
            input.readText(input.readLength());
            return value.read(input);
        });
    }

    /** A record inside a record: it is checked, and no column takes it. */
    private Step record(Schema writer, Schema reader) {
        Pair pair = new Pair(writer, reader);
        Step known = nested.get(pair);
        if (known != null) {
            return known;
        }
        Reading[] inner = new Reading[1];
        GenericRowData none = new GenericRowData(0);
        Step found = input -> {
            inner[0].read(input, none);
            return null;
        };
        nested.put(pair, found);
        inner[0] = new Reading(writer, reader, List.of(), nested);
        return found;
    }
}
