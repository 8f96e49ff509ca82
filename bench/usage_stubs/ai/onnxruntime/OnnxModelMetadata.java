package ai.onnxruntime;

import java.util.Map;

public final class OnnxModelMetadata {
    public Map<String, String> getCustomMetadata() {
        throw new UnsupportedOperationException();
    }
}
