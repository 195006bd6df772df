// SPDX-License-Identifier: Apache-2.0
// java.net.http: BASE-URL HOST, see README.md. HTTP/1.1, connections kept by the client's own pool. Its API has no way
// to set Host: the name in the URL is the one that is asked for.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicInteger;

public class Client {
    static final HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
    static final AtomicInteger answers = new AtomicInteger();
    static final int[] sizes = {0, 1, 100, 5000, 70000, 300000};
    static String base;

    static CompletableFuture<HttpResponse<byte[]>> ask(String path, HttpRequest.BodyPublisher body) {
        HttpRequest.Builder b = HttpRequest.newBuilder(URI.create(base + path));
        HttpRequest r = body == null ? b.GET().build() : b.POST(body).build();
        return client.sendAsync(r, HttpResponse.BodyHandlers.ofByteArray()).thenApply(a -> {
            answers.incrementAndGet();
            return a;
        });
    }

    static CompletableFuture<Void> one(int k, int i) {
        if (i == 2 * sizes.length)
            return CompletableFuture.completedFuture(null);
        byte[] body = new byte[sizes[i % sizes.length]];
        Arrays.fill(body, (byte) (k * 16 + i));
        HttpRequest.BodyPublisher p = i % 4 == 3
            ? HttpRequest.BodyPublishers.fromPublisher(HttpRequest.BodyPublishers.ofByteArray(body))
            : HttpRequest.BodyPublishers.ofByteArray(body);
        return ask(i % 5 == 4 ? "/reflect-chunked" : "/reflect?" + k + "." + i, p).thenCompose(a -> {
            if (a.statusCode() != 200 || !Arrays.equals(a.body(), body))
                throw new IllegalStateException(k + "." + i + ": " + a.statusCode() + ", " + a.body().length + " of " + body.length);
            return one(k, i + 1);
        });
    }

    public static void main(String[] args) throws Exception {
        base = args[0];
        for (int i = 0; i < 100; i++) {
            HttpResponse<byte[]> a = ask("/echo?" + i, null).get();
            if (a.statusCode() != 200 || !new String(a.body()).contains("\"/echo?" + i + "\""))
                throw new IllegalStateException("echo " + i + ": " + a.statusCode());
        }
        if (ask("/bytes?n=5000000", null).get().body().length != 5000000)
            throw new IllegalStateException("/bytes");
        if (ask("/chunked?n=500000", null).get().body().length != 500000)
            throw new IllegalStateException("/chunked");
        CompletableFuture<?>[] all = new CompletableFuture<?>[20];
        for (int k = 0; k < all.length; k++)
            all[k] = one(k, 0);
        CompletableFuture.allOf(all).get();
        System.out.println("ok " + answers.get());
        System.exit(0);
    }
}
