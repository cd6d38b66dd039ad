import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.GalleriesApi;
import org.openapitools.client.api.MediaApi;
import org.openapitools.client.model.*;

/** Uploads a picture and views it by the client that was generated. Arguments: the address, the picture. */
public class Journey {
  public static void main(String[] arguments) throws Exception {
    ApiClient client = new ApiClient();
    client.updateBaseUri(arguments[0]);
    Path picture = Path.of(arguments[1]);
    byte[] content = Files.readAllBytes(picture);
    MediaApi media = new MediaApi(client);

    GalleryCreated gallery =
        new GalleriesApi(client).createGallery(null, new GalleryCreate().title("Java"));
    System.out.println("made " + gallery.getId() + " " + gallery.getAccessKey());
    Map<String, String> key = Map.of("X-Gallery-Key", gallery.getAccessKey());
    FileDeclaration file =
        new FileDeclaration()
            .filename(picture.getFileName().toString())
            .size((long) content.length)
            .contentType("image/jpeg");
    BatchDeclaration batch = new BatchDeclaration().addFilesItem(file);
    PromisedUpload upload =
        media.signUploads(gallery.getId(), batch, null, key).getUploads().get(0);
    HttpClient http = HttpClient.newHttpClient();
    HttpRequest.Builder put =
        HttpRequest.newBuilder(URI.create(upload.getSingle().getUrl()))
            .method(
                upload.getSingle().getHttpMethod().getValue(),
                HttpRequest.BodyPublishers.ofByteArray(content));
    upload.getSingle().getHeaders().forEach((name, value) -> {
      if (!name.equalsIgnoreCase("content-length")) put.header(name, value);
    });
    check(http.send(put.build(), HttpResponse.BodyHandlers.discarding()).statusCode() == 200, "PUT");
    media.completeUpload(upload.getId(), null, key);

    Item item = null;
    for (int tries = 0; tries < 300 && (item == null || item.getOriginal() == null); tries++) {
      Thread.sleep(100);
      List<Item> items = media.viewGallery(gallery.getCode(), 10L, null, null).getItems();
      item = items.isEmpty() ? null : items.get(0);
    }
    check(item.getStatus() == Item.StatusEnum.READY && item.getCreatedAt() != null, "ready");
    HttpRequest get = HttpRequest.newBuilder(URI.create(item.getOriginal().getUrl())).build();
    byte[] seen = http.send(get, HttpResponse.BodyHandlers.ofByteArray()).body();
    check(Arrays.equals(seen, content), "the original");
    try {
      file.setSize(5_368_709_121L);
      media.signUploads(gallery.getId(), batch, null, key);
      check(false, "5 GiB and a byte");
    } catch (ApiException refused) {
      Problem problem = client.getObjectMapper().readValue(refused.getResponseBody(), Problem.class);
      check(problem.getErrors().get(0).getField().equals("files.0.size"), "the field");
      SignUploadsProblemCode code = SignUploadsProblemCode.fromValue(problem.getCode());
      check(code == SignUploadsProblemCode.FILE_TOO_LARGE, "its code");
    }
    System.out.println("shown " + item.getFilename() + " " + item.getSize());
  }

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }
}
