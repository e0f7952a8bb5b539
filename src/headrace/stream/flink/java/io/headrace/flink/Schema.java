package io.headrace.flink;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/** An Avro schema, with its named types resolved to their definitions (a recursive type refers to itself). */
final class Schema {
    enum Kind { NULL, BOOLEAN, INT, LONG, FLOAT, DOUBLE, BYTES, STRING, FIXED, ENUM, ARRAY, MAP, UNION, RECORD }

    record Field(String name, List<String> aliases, Schema type, JsonNode fallback) {}

    private static final ObjectMapper JSON = new ObjectMapper();

    final Kind kind;
    String logical = "";
    String name = "";
    List<String> aliases = List.of();
    List<Field> fields = List.of();
    /** Of an array or a map its items, of a union its branches. */
    List<Schema> parts = List.of();
    List<String> symbols = List.of();
    /** Of an enum; null where there is none. */
    String fallback;
    int size;

    private Schema(Kind kind) {
        this.kind = kind;
    }

    /** IllegalArgumentException where the text is no Avro schema. */
    static Schema parse(String text) {
        try {
            return new Parser().read(JSON.readTree(text), "");
        } catch (JsonProcessingException error) {
            throw new IllegalArgumentException("the schema is no JSON: " + error.getOriginalMessage(), error);
        }
    }

    boolean isNamed() {
        return kind == Kind.RECORD || kind == Kind.ENUM || kind == Kind.FIXED;
    }

    /** The field that was written under one of these names, the first that there is; null for none. */
    Field field(String wanted, List<String> others) {
        Map<String, Field> known = new HashMap<>();
        fields.forEach(field -> known.put(field.name, field));
        Field found = known.get(wanted);
        for (int place = 0; found == null && place < others.size(); place++) {
            found = known.get(others.get(place));
        }
        return found;
    }

    /** Whether a value written with this schema may be read with the other, as far as can be told before it is read. */
    boolean fits(Schema reader) {
        if (kind == Kind.UNION || reader.kind == Kind.UNION) {
            return true;
        }
        if (isNamed() || reader.isNamed()) {
            return kind == reader.kind && size == reader.size && named(reader);
        }
        if (kind == reader.kind) {
            return kind != Kind.ARRAY && kind != Kind.MAP || parts.get(0).fits(reader.parts.get(0));
        }
        return switch (kind) {
            case INT -> reader.kind == Kind.LONG || reader.kind == Kind.FLOAT || reader.kind == Kind.DOUBLE;
            case LONG -> reader.kind == Kind.FLOAT || reader.kind == Kind.DOUBLE;
            case FLOAT -> reader.kind == Kind.DOUBLE;
            case STRING -> reader.kind == Kind.BYTES;
            case BYTES -> reader.kind == Kind.STRING;
            default -> false;
        };
    }

    private boolean named(Schema reader) {
        return shortName(name).equals(shortName(reader.name)) || reader.aliases.contains(name);
    }

    private static String shortName(String name) {
        return name.substring(name.lastIndexOf('.') + 1);
    }

    private static final class Parser {
        private final Map<String, Schema> named = new HashMap<>();

        Schema read(JsonNode node, String space) {
            if (node != null && node.isTextual()) {
                return ofName(node.textValue(), space);
            }
            if (node != null && node.isArray()) {
                Schema union = new Schema(Kind.UNION);
                union.parts = new ArrayList<>();
                node.forEach(branch -> union.parts.add(read(branch, space)));
                return union;
            }
            if (node == null || !node.isObject() || node.get("type") == null) {
                throw new IllegalArgumentException("the schema has no type in " + node);
            }
            if (!node.get("type").isTextual()) {
                return read(node.get("type"), space);
            }
            return ofObject(node, node.get("type").textValue(), space);
        }

        private Schema ofObject(JsonNode node, String type, String space) {
            switch (type) {
                case "array", "map" -> {
                    Schema found = new Schema(type.equals("map") ? Kind.MAP : Kind.ARRAY);
                    found.parts = List.of(read(node.get(type.equals("map") ? "values" : "items"), space));
                    return found;
                }
                case "record", "error" -> {
                    Schema found = define(Kind.RECORD, node, space);
                    String inner = found.name.contains(".") ? found.name.substring(0, found.name.lastIndexOf('.')) : "";
                    found.fields = new ArrayList<>();
                    for (JsonNode field : node.path("fields")) {
                        Schema kind = read(field.get("type"), inner);
                        found.fields.add(new Field(text(field, "name"), texts(field, "aliases"), kind, field.get("default")));
                    }
                    return found;
                }
                case "enum" -> {
                    Schema found = define(Kind.ENUM, node, space);
                    found.symbols = texts(node, "symbols");
                    found.fallback = node.hasNonNull("default") ? text(node, "default") : null;
                    return found;
                }
                case "fixed" -> {
                    Schema found = define(Kind.FIXED, node, space);
                    found.size = node.path("size").asInt();
                    return found;
                }
                default -> {
                    Schema found = ofName(type, space);
                    if (!found.isNamed()) {
                        found.logical = node.path("logicalType").asText("");
                    }
                    return found;
                }
            }
        }

        private Schema ofName(String name, String space) {
            for (Kind kind : List.of(Kind.NULL, Kind.BOOLEAN, Kind.INT, Kind.LONG, Kind.FLOAT, Kind.DOUBLE, Kind.BYTES,
                    Kind.STRING)) {
                if (kind.name().toLowerCase(Locale.ROOT).equals(name)) {
                    return new Schema(kind);
                }
            }
            Schema found = named.get(full(name, space));
            found = found == null ? named.get(name) : found;
            if (found == null) {
                throw new IllegalArgumentException("the schema does not define " + name);
            }
            return found;
        }

        private Schema define(Kind kind, JsonNode node, String space) {
            Schema found = new Schema(kind);
            String own = node.path("namespace").asText(space);
            found.name = full(text(node, "name"), own);
            String inner = found.name.contains(".") ? found.name.substring(0, found.name.lastIndexOf('.')) : "";
            found.aliases = texts(node, "aliases").stream().map(alias -> full(alias, inner)).toList();
            named.put(found.name, found);
            return found;
        }

        private static String full(String name, String space) {
            return name.contains(".") || space.isEmpty() ? name : space + "." + name;
        }

        private static String text(JsonNode node, String key) {
            if (!node.path(key).isTextual()) {
                throw new IllegalArgumentException("the schema has no " + key + " in " + node);
            }
            return node.get(key).textValue();
        }

        private static List<String> texts(JsonNode node, String key) {
            List<String> found = new ArrayList<>();
            node.path(key).forEach(each -> found.add(each.asText()));
            return found;
        }
    }
}
