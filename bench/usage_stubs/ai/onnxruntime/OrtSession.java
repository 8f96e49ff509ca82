package ai.onnxruntime;

import java.util.Iterator;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

public class OrtSession implements AutoCloseable {
    public static class Result implements AutoCloseable, Iterable<Map.Entry<String, OnnxValue>> {
        public OnnxValue get(int index) {
            throw new UnsupportedOperationException();
        }

        public Optional<OnnxValue> get(String key) {
            throw new UnsupportedOperationException();
        }

        @Override
        public Iterator<Map.Entry<String, OnnxValue>> iterator() {
            throw new UnsupportedOperationException();
        }

        @Override
        public void close() {}
    }

    public Result run(Map<String, ? extends OnnxTensorLike> inputs) throws OrtException {
        throw new OrtException();
    }

    public Result run(Map<String, ? extends OnnxTensorLike> inputs, Set<String> requestedOutputs) throws OrtException {
        throw new OrtException();
    }

    public OnnxModelMetadata getMetadata() throws OrtException {
        throw new OrtException();
    }

    @Override
    public void close() throws OrtException {}
}
