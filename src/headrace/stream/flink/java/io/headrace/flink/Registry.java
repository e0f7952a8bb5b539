package io.headrace.flink;

import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.core.JsonProcessingException;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.JsonNode;
import org.apache.flink.shaded.jackson2.com.fasterxml.jackson.databind.ObjectMapper;

/** The schema registry, by the Confluent API: it tells a schema, or that there is none, or it is an outage. */
final class Registry {
    private static final Duration PATIENCE = Duration.ofSeconds(10);
    private static final ObjectMapper JSON = new ObjectMapper();

    private final HttpClient client = HttpClient.newBuilder().connectTimeout(PATIENCE).build();
    private final String url;
    private final String authorization;

    /** authorization: the value of the header; null for none. */
    Registry(String url, String authorization) {
        this.url = url.replaceAll("/+$", "");
        this.authorization = authorization;
    }

    /** The schema's text; null where the registry says that no schema has the id. IOException: it cannot tell. */
    String byId(int id) throws IOException {
        String place = url + "/schemas/ids/" + Integer.toUnsignedString(id);
        HttpRequest.Builder request = HttpRequest.newBuilder(URI.create(place)).timeout(PATIENCE);
        if (authorization != null) {
            request.header("Authorization", authorization);
        }
        HttpResponse<String> response;
        try {
            response = client.send(request.build(), HttpResponse.BodyHandlers.ofString());
        } catch (InterruptedException error) {
            Thread.currentThread().interrupt();
            throw new IOException("interrupted while asking " + place, error);
        } catch (IOException error) {
            // Without the cause: Flink's trace ends with the innermost one, which is what the role tells.
            throw new IOException("the schema registry does not answer at " + place + ": " + error);
        }
        JsonNode answer = parsed(response.body());
        if (response.statusCode() == 404 && answer.path("error_code").asInt() / 100 == 404) {
            return null;
        }
        if (response.statusCode() != 200 || !answer.path("schema").isTextual()) {
            throw new IOException("the schema registry gave no schema at " + place + ": status " + response.statusCode());
        }
        return answer.get("schema").textValue();
    }

    private static JsonNode parsed(String body) {
        try {
            return JSON.readTree(body);
        } catch (JsonProcessingException error) {
            return JSON.missingNode();
        }
    }
}
