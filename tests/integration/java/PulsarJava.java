import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonNull;
import com.google.gson.JsonObject;
import com.google.gson.JsonParser;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.util.Base64;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.pulsar.client.api.BatcherBuilder;
import org.apache.pulsar.client.api.CompressionType;
import org.apache.pulsar.client.api.Consumer;
import org.apache.pulsar.client.api.Message;
import org.apache.pulsar.client.api.Producer;
import org.apache.pulsar.client.api.PulsarClient;
import org.apache.pulsar.client.api.Schema;
import org.apache.pulsar.client.api.SubscriptionInitialPosition;
import org.apache.pulsar.client.api.SubscriptionType;
import org.apache.pulsar.client.api.TypedMessageBuilder;
import org.apache.pulsar.common.schema.KeyValue;
import org.apache.pulsar.common.schema.KeyValueEncodingType;

/** Produces and consumes as a program in Java does: a request in JSON on each line of stdin, an answer on stdout. */
public class PulsarJava {
    public static class Key {
        public String region;
        public int number;
    }

    public static class Order {
        public String id;
        public int price;
    }

    /** What Order became: a consumer that knows it still reads what was written by the other. */
    public static class LaterOrder {
        public String id;
        public int price;
        public String note = "none";
    }

    private static final Gson GSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();

    private static Schema<?> schema(String name) {
        switch (name) {
            case "string":
                return Schema.STRING;
            case "json":
                return Schema.JSON(Order.class);
            case "later-json":
                return Schema.JSON(LaterOrder.class);
            case "avro":
                return Schema.AVRO(Order.class);
            case "later-avro":
                return Schema.AVRO(LaterOrder.class);
            case "separated":
                return Schema.KeyValue(
                        Schema.AVRO(Key.class), Schema.AVRO(Order.class), KeyValueEncodingType.SEPARATED);
            case "inline":
                return Schema.KeyValue(
                        Schema.JSON(Key.class), Schema.JSON(Order.class), KeyValueEncodingType.INLINE);
            default:
                return Schema.BYTES;
        }
    }

    private static Object value(String schema, JsonElement value) {
        if (value == null || value.isJsonNull()) {
            return null;
        }
        switch (schema) {
            case "string":
                return value.getAsString();
            case "json":
            case "avro":
                return GSON.fromJson(value, Order.class);
            case "later-json":
            case "later-avro":
                return GSON.fromJson(value, LaterOrder.class);
            case "separated":
            case "inline":
                JsonArray pair = value.getAsJsonArray();
                return new KeyValue<>(
                        GSON.fromJson(pair.get(0), Key.class), GSON.fromJson(pair.get(1), Order.class));
            default:
                return Base64.getDecoder().decode(value.getAsString());
        }
    }

    private static JsonElement shown(Object value) {
        if (value instanceof KeyValue) {
            JsonArray pair = new JsonArray();
            pair.add(GSON.toJsonTree(((KeyValue<?, ?>) value).getKey()));
            pair.add(GSON.toJsonTree(((KeyValue<?, ?>) value).getValue()));
            return pair;
        }
        return value instanceof byte[] ? base64((byte[]) value) : GSON.toJsonTree(value);
    }

    private static JsonElement base64(byte[] data) {
        return data == null ? JsonNull.INSTANCE : GSON.toJsonTree(Base64.getEncoder().encodeToString(data));
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static JsonElement produce(PulsarClient client, JsonObject request) throws Exception {
        String kind = request.get("schema").getAsString();
        Schema<Object> schema = (Schema) schema(kind);
        try (Producer<Object> producer = client.newProducer(schema)
                .topic(request.get("topic").getAsString())
                .enableBatching(request.get("batched").getAsBoolean())
                .batchingMaxPublishDelay(50, TimeUnit.MILLISECONDS)
                .compressionType(CompressionType.valueOf(request.get("compression").getAsString()))
                .batcherBuilder(BatcherBuilder.DEFAULT)
                .blockIfQueueFull(true)
                .create()) {
            for (JsonElement each : request.getAsJsonArray("messages")) {
                JsonObject wanted = each.getAsJsonObject();
                TypedMessageBuilder<Object> message = producer.newMessage();
                Object value = value(kind, wanted.get("value"));
                message.value(value);
                if (wanted.has("key")) {
                    message.key(wanted.get("key").getAsString());
                }
                if (wanted.has("keyBytes")) {
                    message.keyBytes(Base64.getDecoder().decode(wanted.get("keyBytes").getAsString()));
                }
                if (wanted.has("orderingKey")) {
                    message.orderingKey(Base64.getDecoder().decode(wanted.get("orderingKey").getAsString()));
                }
                if (wanted.has("eventTime")) {
                    message.eventTime(wanted.get("eventTime").getAsLong());
                }
                if (wanted.has("properties")) {
                    for (Map.Entry<String, JsonElement> pair : wanted.getAsJsonObject("properties").entrySet()) {
                        message.property(pair.getKey(), pair.getValue().getAsString());
                    }
                }
                message.sendAsync();
            }
            producer.flush();
        }
        return JsonNull.INSTANCE;
    }

    @SuppressWarnings({"unchecked", "rawtypes"})
    private static JsonElement consume(PulsarClient client, JsonObject request) throws Exception {
        Schema<Object> schema = (Schema) schema(request.get("schema").getAsString());
        int count = request.get("count").getAsInt();
        JsonArray found = new JsonArray();
        try (Consumer<Object> consumer = client.newConsumer(schema)
                .topic(request.get("topic").getAsString())
                .subscriptionName(request.get("subscription").getAsString())
                .subscriptionType(SubscriptionType.Shared)
                .subscriptionInitialPosition(SubscriptionInitialPosition.Earliest)
                .subscribe()) {
            while (found.size() < count) {
                Message<Object> message = consumer.receive(20, TimeUnit.SECONDS);
                if (message == null) {
                    break;
                }
                consumer.acknowledge(message);
                JsonObject one = new JsonObject();
                one.add("data", base64(message.getData()));
                one.addProperty("key", message.getKey());
                one.add("keyBytes", message.hasKey() ? base64(message.getKeyBytes()) : JsonNull.INSTANCE);
                one.addProperty("keyIsBytes", message.hasBase64EncodedKey());
                one.add("orderingKey", message.hasOrderingKey() ? base64(message.getOrderingKey()) : JsonNull.INSTANCE);
                one.addProperty("eventTime", message.getEventTime());
                JsonObject properties = new JsonObject();
                message.getProperties().forEach(properties::addProperty);
                one.add("properties", properties);
                one.add("schemaVersion", base64(message.getSchemaVersion()));
                one.addProperty("id", message.getMessageId().toString());
                try {
                    one.add("value", shown(message.getValue()));
                } catch (Exception error) {
                    one.addProperty("error", error.toString());
                }
                found.add(one);
            }
        }
        return found;
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = System.out;
        System.setOut(System.err);
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
        try (PulsarClient client = PulsarClient.builder().serviceUrl(arguments[0]).build()) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                JsonObject request = JsonParser.parseString(line).getAsJsonObject();
                JsonObject answer = new JsonObject();
                try {
                    boolean produces = request.get("do").getAsString().equals("produce");
                    answer.add("done", produces ? produce(client, request) : consume(client, request));
                } catch (Exception error) {
                    answer.addProperty("error", error.toString());
                }
                out.write((GSON.toJson(answer) + "\n").getBytes("UTF-8"));
                out.flush();
            }
        }
    }
}
